/**
 * Turns a {@link Shape} into functions that check and write, or check and read, one value. Compiled
 * once for every parameter and result; what they cost per value is what the value costs.
 */
import { encode as encodeAny } from "cborg";
import { describeType } from "../options.js";
import { Mismatch, propertyStep } from "./mismatch.js";
import type { Definition, Property, Shape } from "./schema.js";
import { MessageTooLarge, type Writer } from "./writer.js";

/** Checks and converts values of one type. */
export interface Codec {
  /** What a value must be, for messages: `a string`, `an integer (uint8, 0 to 255)`. */
  readonly expected: string;
  /** Whether `null` is one of the values: an absent property is then written as `null`. */
  readonly acceptsNull: boolean;
  /** Writes `value`, or says why it cannot be one of this type. After a mismatch the writer's
   * position is wherever it was then. */
  write(value: unknown, writer: Writer): Mismatch | undefined;
  /** Converts what was decoded from CBOR, or says why it cannot be one of this type. */
  read(value: unknown, reading: Reading): unknown;
}

/** State of one conversion from the guest. */
export interface Reading {
  /** Steps left. Bounds what a hostile pair of schema and value can make the host do. */
  work: number;
  /** Arrays, maps and references open around the value. */
  depth: number;
  /** Whether the value may be read once more, so that it must not be converted in place. */
  keep: boolean;
}

/** Levels of nesting in a value, as on the guest's side. */
export const DEPTH_MAX = 64;
const TOO_DEEP = `nested at most ${DEPTH_MAX} levels deep`;
const NULL = 0xf6;
const FALSE = 0xf4;
const MAJOR_ARRAY = 0x80;
const MAJOR_MAP = 0xa0;

/** Compiles `shape`. */
export function compile(shape: Shape): Codec {
  return new Compiler().compile(shape);
}

const mismatch = (expected: string, value: unknown): Mismatch =>
  new Mismatch(expected, describeType(value));

class Compiler {
  /** Codecs of definitions, so that a recursive type refers to itself. */
  readonly #definitions = new Map<Definition, { codec: Codec | undefined }>();

  compile(shape: Shape): Codec {
    switch (shape.kind) {
      case "any":
        return ANY;
      case "null":
        return NOTHING;
      case "boolean":
        return scalar(
          "a boolean",
          (value) => typeof value === "boolean",
          (value, writer) => writer.byte(FALSE + Number(value)),
        );
      case "number":
        return NUMBER;
      case "bytes":
        return scalar(
          "bytes (a Uint8Array)",
          (value) => value instanceof Uint8Array,
          (value, writer) => writer.byteString(value as Uint8Array),
        );
      case "string":
        return shape.character ? CHARACTER : STRING;
      case "integer":
        return shape.big ? bigInteger(shape) : smallInteger(shape);
      case "constant":
        return constant(shape.value);
      case "array":
        return this.#array(shape);
      case "object":
        return this.#object(shape);
      case "union":
        return this.#union(shape.alternatives);
      case "reference":
        return this.#reference(shape.definition);
    }
  }

  #reference(definition: Definition): Codec {
    let slot = this.#definitions.get(definition);
    if (slot === undefined) {
      slot = { codec: undefined };
      this.#definitions.set(definition, slot);
      slot.codec = this.compile(definition.shape);
      // Not recursive as far as this place goes: no need to go through the slot.
    }
    const target = slot;
    // Read when used: inside a recursive definition the codec does not exist yet.
    const codec = (): Codec => target.codec as Codec;
    return {
      expected: target.codec?.expected ?? `a ${definition.name}`,
      acceptsNull: target.codec?.acceptsNull ?? false,
      write(value, writer) {
        if (writer.depth >= DEPTH_MAX) return new Mismatch(TOO_DEEP, "deeper");
        writer.depth++;
        const problem = codec().write(value, writer);
        writer.depth--;
        return problem;
      },
      read(value, reading) {
        if (reading.depth >= DEPTH_MAX || --reading.work < 0) {
          return new Mismatch(TOO_DEEP, "deeper");
        }
        reading.depth++;
        const result = codec().read(value, reading);
        reading.depth--;
        return result;
      },
    };
  }

  #array(shape: Shape & { kind: "array" }): Codec {
    const prefix = shape.prefix.map((part) => this.compile(part));
    const items = shape.items === null ? null : this.compile(shape.items);
    const { minimum, maximum } = shape;
    const expected =
      minimum === maximum
        ? `an array of ${minimum} items`
        : items === null
          ? "a tuple"
          : "an array";
    const fits = (value: unknown): value is unknown[] =>
      Array.isArray(value) && value.length >= minimum && value.length <= maximum;
    const found = (value: unknown) =>
      Array.isArray(value) ? `an array of ${value.length} items` : describeType(value);
    return {
      expected,
      acceptsNull: false,
      write(value, writer) {
        if (!fits(value)) return new Mismatch(expected, found(value));
        if (writer.depth >= DEPTH_MAX) return new Mismatch(TOO_DEEP, "deeper");
        writer.depth++;
        writer.head(MAJOR_ARRAY, value.length);
        for (let index = 0; index < value.length; index++) {
          const problem = ((prefix[index] ?? items) as Codec).write(value[index], writer);
          if (problem !== undefined) return problem.at(`[${index}]`);
        }
        writer.depth--;
        return undefined;
      },
      read(value, reading) {
        if (!fits(value)) return new Mismatch(expected, found(value));
        const result = reading.keep ? [...value] : value;
        for (let index = 0; index < value.length; index++) {
          if (--reading.work < 0) return new Mismatch("simpler", "too much to check");
          const item = ((prefix[index] ?? items) as Codec).read(value[index], reading);
          if (item instanceof Mismatch) return item.at(`[${index}]`);
          result[index] = item;
        }
        return result;
      },
    };
  }

  #object(shape: Shape & { kind: "object" }): Codec {
    const properties = new Map<string, Property & { codec: Codec }>();
    for (const [name, property] of shape.properties) {
      properties.set(name, { ...property, codec: this.compile(property.shape) });
    }
    const additional = shape.additional === null ? null : this.compile(shape.additional);
    return objectCodec(properties, additional);
  }

  #union(alternatives: readonly Shape[]): Codec {
    const codecs = alternatives.map((part) => this.compile(part));
    // The common case, an optional value, is one test and no trial.
    if (codecs.length === 2 && alternatives.some(isNull)) {
      return optional(codecs[alternatives.findIndex((part) => !isNull(part))] as Codec);
    }
    return unionCodec(codecs, alternatives.map(unwrap));
  }
}

const isNull = (shape: Shape): boolean => shape.kind === "null";

/** The shape behind a reference, as far as it is known. */
function unwrap(shape: Shape): Shape {
  let target = shape;
  while (target.kind === "reference") target = target.definition.shape;
  return target;
}

function scalar(
  expected: string,
  is: (value: unknown) => boolean,
  write: (value: unknown, writer: Writer) => void,
): Codec {
  return {
    expected,
    acceptsNull: false,
    write(value, writer) {
      if (!is(value)) return mismatch(expected, value);
      write(value, writer);
      return undefined;
    },
    read: (value) => (is(value) ? value : mismatch(expected, value)),
  };
}

const NOTHING: Codec = {
  ...scalar(
    "null",
    (value) => value === null || value === undefined,
    (_value, writer) => writer.byte(NULL),
  ),
  acceptsNull: true,
};

const STRING = scalar(
  "a string",
  (value) => typeof value === "string",
  (value, writer) => writer.text(value as string),
);

const CHARACTER = scalar(
  "a string of one character",
  // Iterating a string goes by code points.
  (value) => typeof value === "string" && value.length <= 2 && [...value].length === 1,
  (value, writer) => writer.text(value as string),
);

/** Floats always travel as floats: a serde `f64` need not accept an integer. */
const NUMBER: Codec = {
  expected: "a number",
  acceptsNull: false,
  write(value, writer) {
    if (typeof value !== "number") return mismatch("a number", value);
    writer.float(value);
    return undefined;
  },
  read: (value) =>
    typeof value === "bigint"
      ? Number(value)
      : typeof value === "number"
        ? value
        : mismatch("a number", value),
};

const ANY: Codec = {
  expected: "any value",
  acceptsNull: false,
  write(value, writer) {
    try {
      writer.raw(encodeAny(value, { ignoreUndefinedProperties: true, float64: true }));
      return undefined;
    } catch (error) {
      if (error instanceof MessageTooLarge) throw error;
      return new Mismatch("a value that CBOR can express", (error as Error).message);
    }
  },
  read: (value) => value,
};

type IntegerShape = Shape & { kind: "integer" };

function range({ format, minimum, maximum }: IntegerShape): string {
  return format === "integer" ? "" : ` (${format}, ${minimum} to ${maximum})`;
}

function smallInteger(shape: IntegerShape): Codec {
  const [low, high] = [Number(shape.minimum), Number(shape.maximum)];
  const expected = `an integer${range(shape)}`;
  const fits = (value: unknown): value is number =>
    typeof value === "number" && Number.isInteger(value) && value >= low && value <= high;
  return {
    expected,
    acceptsNull: false,
    write(value, writer) {
      if (!fits(value)) return mismatch(expected, value);
      writer.integer(value);
      return undefined;
    },
    read: (value) => (fits(value) ? value : mismatch(expected, value)),
  };
}

function bigInteger(shape: IntegerShape): Codec {
  const { minimum, maximum } = shape;
  const expected = `a bigint${range(shape)}`;
  const fits = (value: bigint): boolean => value >= minimum && value <= maximum;
  return {
    expected,
    acceptsNull: false,
    write(value, writer) {
      if (typeof value !== "bigint" || !fits(value)) return mismatch(expected, value);
      writer.bigInteger(value);
      return undefined;
    },
    read(value) {
      // CBOR does not tell 64-bit types from others; the decoder gives small values as numbers.
      const big = Number.isSafeInteger(value) ? BigInt(value as number) : value;
      return typeof big === "bigint" && fits(big) ? big : mismatch(expected, value);
    },
  };
}

function constant(expectedValue: string | number | boolean | null): Codec {
  return scalar(
    JSON.stringify(expectedValue),
    (value) => value === expectedValue,
    (value, writer) => {
      if (typeof value === "string") writer.text(value);
      else if (typeof value === "boolean") writer.byte(FALSE + Number(value));
      else if (Number.isSafeInteger(value)) writer.integer(value as number);
      else writer.float(value as number);
    },
  );
}

function optional(codec: Codec): Codec {
  const expected = `${codec.expected} or null`;
  const widened = (problem: Mismatch): Mismatch =>
    problem.path === "" && problem.expected === codec.expected
      ? new Mismatch(expected, problem.found)
      : problem;
  return {
    expected,
    acceptsNull: true,
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

function isRecord(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Uint8Array)
  );
}

function objectCodec(
  properties: ReadonlyMap<string, Property & { codec: Codec }>,
  additional: Codec | null,
): Codec {
  const expected = "an object";
  const unknownProperty = (name: string): Mismatch =>
    new Mismatch(
      `an object with only ${[...properties.keys()].join(", ") || "no properties"}`,
      `the property ${JSON.stringify(name)}`,
    );
  const missing = (codec: Codec, name: string): Mismatch =>
    new Mismatch(codec.expected, "nothing").at(propertyStep(name));
  return {
    expected,
    acceptsNull: false,
    write(value, writer) {
      if (!isRecord(value)) return mismatch(expected, value);
      if (writer.depth >= DEPTH_MAX) return new Mismatch(TOO_DEEP, "deeper");
      writer.depth++;
      const present: [string, Codec][] = [];
      for (const [name, { codec, required }] of properties) {
        const absent = !Object.hasOwn(value, name) || value[name] === undefined;
        if (!absent) present.push([name, codec]);
        // An absent optional value is null; where null is not possible, it is an error.
        else if (required && codec.acceptsNull) present.push([name, codec]);
        else if (required) return missing(codec, name);
      }
      for (const name of Object.keys(value)) {
        if (properties.has(name) || value[name] === undefined) continue;
        if (additional === null) return unknownProperty(name);
        present.push([name, additional]);
      }
      writer.head(MAJOR_MAP, present.length);
      for (const [name, codec] of present) {
        writer.text(name);
        const problem = codec.write(value[name], writer);
        if (problem !== undefined) return problem.at(propertyStep(name));
      }
      writer.depth--;
      return undefined;
    },
    read(value, reading) {
      if (!isRecord(value)) return mismatch(expected, value);
      for (const [name, { codec, required }] of properties) {
        if (required && !Object.hasOwn(value, name)) return missing(codec, name);
      }
      const result = reading.keep ? { ...value } : value;
      for (const name of Object.keys(value)) {
        if (--reading.work < 0) return new Mismatch("simpler", "too much to check");
        const codec = properties.get(name)?.codec ?? additional;
        if (codec === null) return unknownProperty(name);
        const item = codec.read(value[name], reading);
        if (item instanceof Mismatch) return item.at(propertyStep(name));
        // The decoder has made `__proto__` an own property; assignment would reach the setter.
        if (name === "__proto__") Object.defineProperty(result, name, { value: item });
        else result[name] = item;
      }
      return result;
    },
  };
}

/**
 * Whether `value` looks like an alternative of that shape from outside: the one to blame when none
 * fits, and the only ones worth trying.
 */
function resembles(shape: Shape, value: unknown): boolean {
  switch (shape.kind) {
    case "object":
      if (!isRecord(value)) return false;
      for (const [name, property] of shape.properties) {
        if (property.required && !Object.hasOwn(value, name)) return false;
      }
      return true;
    case "array":
      return Array.isArray(value);
    case "constant":
      return value === shape.value;
    case "string":
      return typeof value === "string";
    case "bytes":
      return value instanceof Uint8Array;
    case "boolean":
      return typeof value === "boolean";
    case "null":
      return value === null || value === undefined;
    case "number":
    case "integer":
      return typeof value === "number" || typeof value === "bigint";
    default:
      return true;
  }
}

function unionCodec(codecs: readonly Codec[], shapes: readonly Shape[]): Codec {
  const names = [...new Set(codecs.map((codec, index) => alternativeName(codec, shapes[index])))];
  const expected = names.length === 0 ? "no value at all" : names.join(" or ");
  const candidates = (value: unknown): Codec[] =>
    codecs.filter((_, index) => resembles(shapes[index] as Shape, value));
  return {
    expected,
    acceptsNull: codecs.some((codec) => codec.acceptsNull),
    write(value, writer) {
      if (--writer.work < 0) return new Mismatch("simpler", "too much to check");
      const { position, depth } = writer;
      const tried = candidates(value);
      let problem: Mismatch | undefined;
      for (const codec of tried) {
        problem = codec.write(value, writer);
        if (problem === undefined) return undefined;
        writer.position = position;
        writer.depth = depth;
      }
      return tried.length === 1 ? problem : mismatch(expected, value);
    },
    read(value, reading) {
      const tried = candidates(value);
      let problem: unknown;
      const { depth, keep } = reading;
      reading.keep = keep || tried.length > 1;
      for (const codec of tried) {
        if (--reading.work < 0) return new Mismatch("simpler", "too much to check");
        const result = codec.read(value, reading);
        reading.depth = depth;
        if (!(result instanceof Mismatch)) {
          reading.keep = keep;
          return result;
        }
        problem = result;
      }
      return tried.length === 1 ? problem : mismatch(expected, value);
    },
  };
}

/** How an alternative is called in `a or b or c`: an enum's variant with data by its tag. */
function alternativeName(codec: Codec, shape: Shape | undefined): string {
  if (shape?.kind !== "object") return codec.expected;
  const [tag, ...more] = [...shape.properties].filter(([, property]) => property.required);
  return tag === undefined || more.length > 0 ? codec.expected : `{ ${tag[0]} }`;
}
