/** One of several types. */
import type { Alternatives, Parts } from "./alternatives.js";
import { type Codec, type Reading, TOO_MUCH } from "./codec.js";
import { inheritedNames, kindsOfValue, recordForm } from "./host-values.js";
import { Mismatch } from "./mismatch.js";
import { nameOfConstant } from "./scalar-codecs.js";
import { type Constant, Kind, type Shape, target } from "./shape.js";
import { cut, oneOf } from "./text.js";
import type { Writer } from "./writer.js";

const NULL = 0xf6;

/** The codec of `codec`'s values and `null`: the common case, one test and no trial. */
export function optional(codec: Codec): Codec {
  const expected = (): string => `${codec.expected()} or null`;
  const widened = (problem: Mismatch): Mismatch =>
    problem.isOfWhole && problem.expected === codec.expected()
      ? problem.expecting(expected)
      : problem;
  return {
    acceptsNull: true,
    expected,
    write(value, writer) {
      if (value === null || value === undefined) {
        writer.byte(NULL);
        return undefined;
      }
      const problem = codec.write(value, writer);
      return problem === undefined ? undefined : widened(problem);
    },
    read(value, reading) {
      if (value === null) return null;
      const result = codec.read(value, reading);
      return result instanceof Mismatch ? widened(result) : result;
    },
  };
}

/** The codec of any union. */
export class UnionCodec implements Codec {
  readonly acceptsNull: boolean;
  readonly #codecs: readonly Codec[];
  readonly #shapes: readonly Shape[];
  readonly #alternatives: Alternatives;

  constructor(codecs: readonly Codec[], shapes: readonly Shape[], alternatives: Alternatives) {
    this.acceptsNull = codecs.some((codec) => codec.acceptsNull);
    this.#codecs = codecs;
    this.#shapes = shapes;
    this.#alternatives = alternatives;
  }

  expected(): string {
    if (this.#codecs.length === 0) return "no value at all";
    return oneOf(this.#codecs, (codec) => this.#nameOf(codec));
  }

  /** How an alternative is called in `a or b or c`: an enum's variant with data by its tag. */
  #nameOf(codec: Codec): string {
    const shape = target(this.#shapes[this.#codecs.indexOf(codec)] as Shape);
    if (shape.kind !== "object") return codec.expected();
    const required = [...shape.properties].filter(([, property]) => property.required);
    const tag = this.#alternatives.tag?.name;
    for (const [name, property] of required) {
      const value = target(property.shape);
      if (name !== tag || value.kind !== "constants") continue;
      return `{ ${cut(name)}: ${nameOfConstant(value.values[0] as Constant)} }`;
    }
    const [first, ...more] = required;
    return first === undefined || more.length > 0 ? codec.expected() : `{ ${cut(first[0])} }`;
  }

  write(value: unknown, writer: Writer): Mismatch | undefined {
    const kinds = kindsOfValue(value);
    const tried = this.#alternatives.candidates(value, kinds, () => partsOf(value as object));
    const { position, depth, items } = writer;
    let problem: Mismatch | undefined;
    for (const index of tried) {
      if (!writer.step()) return Mismatch.of(TOO_MUCH, "more");
      problem = (this.#codecs[index] as Codec).write(value, writer);
      if (problem === undefined) return undefined;
      // What was written in vain has been work, too.
      writer.spent += writer.items - items;
      Object.assign(writer, { position, depth, items });
    }
    return tried.length === 1
      ? problem
      : this.#mismatch(value, kinds, () => partsOf(value as object));
  }

  read(value: unknown, reading: Reading): unknown {
    const kinds = kindsOfDecoded(value);
    const tried = this.#alternatives.candidates(value, kinds, () => new Decoded(value as object));
    const { keep } = reading;
    let problem: unknown;
    reading.keep = keep || tried.length > 1;
    for (const index of tried) {
      if (--reading.steps < 0) return Mismatch.of(TOO_MUCH, "more");
      const result = (this.#codecs[index] as Codec).read(value, reading);
      if (!(result instanceof Mismatch)) {
        reading.keep = keep;
        return result;
      }
      problem = result;
    }
    reading.keep = keep;
    return tried.length === 1
      ? problem
      : this.#mismatch(value, kinds, () => new Decoded(value as object));
  }

  #mismatch(value: unknown, kinds: number, parts: () => Parts): Mismatch {
    const { tag } = this.#alternatives;
    if (tag === undefined || kinds !== Kind.object) {
      return Mismatch.at(() => this.expected(), value);
    }
    // An object whose tag is not one of those that there are.
    const expected = (): string =>
      oneOf([...tag.values.keys()], (each) => nameOfConstant(each as Constant));
    const found = parts().get(tag.name);
    const problem =
      found === undefined ? Mismatch.of(expected, "nothing") : Mismatch.at(expected, found);
    return problem.at(tag.name);
  }
}

/** The kind of what the decoder made. */
function kindsOfDecoded(value: unknown): number {
  if (typeof value !== "object") {
    return Kind[typeof value as "boolean" | "number" | "bigint" | "string"];
  }
  if (value === null) return Kind.null;
  if (Array.isArray(value)) return Kind.array;
  return ArrayBuffer.isView(value) ? Kind.bytes : Kind.object;
}

function partsOf(value: object): Parts {
  switch (recordForm(value)) {
    case "plain":
      return new Decoded(value);
    case "map":
      return new OfMap(value as Map<unknown, unknown>);
    default:
      return new OfInstance(value);
  }
}

class Decoded implements Parts {
  readonly #value: object;

  constructor(value: object) {
    this.#value = value;
  }

  get(name: string): unknown {
    return Object.hasOwn(this.#value, name)
      ? (this.#value as Record<string, unknown>)[name]
      : undefined;
  }

  names(): Iterable<string> {
    return Object.keys(this.#value);
  }
}

class OfMap implements Parts {
  readonly #map: ReadonlyMap<unknown, unknown>;

  constructor(map: ReadonlyMap<unknown, unknown>) {
    this.#map = map;
  }

  get(name: string): unknown {
    return this.#map.get(name);
  }

  *names(): Iterable<string> {
    for (const key of this.#map.keys()) if (typeof key === "string") yield key;
  }
}

/** An instance of a class: what it has may stand in its prototypes. */
class OfInstance implements Parts {
  readonly #value: object;

  constructor(value: object) {
    this.#value = value;
  }

  get(name: string): unknown {
    return (this.#value as Record<string, unknown>)[name];
  }

  *names(): Iterable<string> {
    yield* Object.getOwnPropertyNames(this.#value);
    yield* inheritedNames(Object.getPrototypeOf(this.#value) as object);
  }
}
