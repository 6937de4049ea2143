/** Structs and maps. What one costs follows what it has, not what its type declares. */
import { ANY } from "./any-codec.js";
import { type Codec, DEPTH_MAX, type Reading, TOO_DEEP } from "./codec.js";
import { setOwn } from "./decode.js";
import { Entries } from "./entries.js";
import { inheritedNames, recordForm } from "./host-values.js";
import { Mismatch } from "./mismatch.js";
import type { ObjectShape } from "./shape.js";
import { cut, oneOf } from "./text.js";
import type { Writer } from "./writer.js";

const MAJOR_MAP = 0xa0;

/** A property together with what checks it. */
export interface CodedProperty {
  readonly codec: Codec;
  readonly required: boolean;
}

const KEYS = { any: /(?:)/, integer: /^-?\d+$/, unsigned: /^\d+$/ };

/** The codec of a struct with those `properties`, or of a map without. */
export class ObjectCodec implements Codec {
  readonly acceptsNull = false;
  readonly #properties: ReadonlyMap<string, CodedProperty>;
  readonly #required: readonly string[];
  readonly #additional: Codec | null;
  readonly #isOpen: boolean;
  readonly #keys: ObjectShape["keys"];
  readonly #isMap: boolean;
  /** An entry of a map is there whatever it is: `null` if it can be, else it is refused. */
  readonly #keeps: (name: string) => boolean;
  /** Of each class of the user's, the declared properties that its instances have from it. */
  readonly #inherited = new WeakMap<object, readonly string[]>();

  constructor(
    properties: ReadonlyMap<string, CodedProperty>,
    additional: Codec | null,
    { open, keys }: ObjectShape,
  ) {
    this.#properties = properties;
    this.#required = [...properties].filter(([, each]) => each.required).map(([name]) => name);
    this.#additional = additional;
    this.#isOpen = open;
    this.#keys = keys;
    this.#isMap = properties.size === 0;
    const keepsOthers = !open && additional !== null && additional !== ANY;
    this.#keeps = keepsOthers ? (name) => !properties.has(name) : () => false;
  }

  expected(): string {
    return this.#isMap ? "a plain object or a Map" : "an object";
  }

  write(value: unknown, writer: Writer): Mismatch | undefined {
    const form = recordForm(value);
    if (form === undefined || (form === "instance" && this.#isMap)) {
      return Mismatch.at(this.expected(), value);
    }
    if (writer.depth >= DEPTH_MAX) return Mismatch.of(TOO_DEEP, "deeper");
    const entries = new Entries(this.#keeps);
    if (form === "instance") {
      this.#takeInstance(value as object, entries);
    } else {
      const problem = entries.take(value as object, form);
      if (problem !== undefined) return problem;
    }
    return this.#refuse(entries, writer) ?? this.#writeEntries(entries, writer);
  }

  /** Takes what an instance of a class has by declared names, getters' values too. */
  #takeInstance(value: object, entries: Entries): void {
    const take = (name: string): void =>
      entries.add(name, (value as Record<string, unknown>)[name]);
    // What the guest would ignore of an instance is its own affair: methods, private state.
    const takesOthers = !this.#isOpen && this.#additional !== null;
    for (const name of Object.getOwnPropertyNames(value)) {
      const isDeclared = this.#properties.has(name);
      if (isDeclared || (takesOthers && Object.prototype.propertyIsEnumerable.call(value, name))) {
        take(name);
      }
    }
    for (const name of this.#inheritedBy(Object.getPrototypeOf(value) as object)) {
      if (!Object.hasOwn(value, name)) take(name);
    }
  }

  #inheritedBy(prototype: object): readonly string[] {
    let names = this.#inherited.get(prototype);
    if (names === undefined) {
      names = [...inheritedNames(prototype)].filter((name) => this.#properties.has(name));
      this.#inherited.set(prototype, names);
    }
    return names;
  }

  /** What is wrong with the names of `entries`; fills in what may be absent. */
  #refuse(entries: Entries, writer: Writer): Mismatch | undefined {
    let required = 0;
    for (const name of entries.names) {
      const property = this.#properties.get(name);
      if (property === undefined) {
        const problem = this.#refuseName(name);
        if (problem !== undefined) return problem;
      } else if (property.required) {
        required++;
      }
    }
    if (required === this.#required.length) return undefined;
    const present = new Set(entries.names);
    for (const name of this.#required) {
      if (present.has(name)) continue;
      const { codec } = this.#properties.get(name) as CodedProperty;
      // An absent optional value is null; where null is not possible, it is an error.
      if (codec.acceptsNull) {
        entries.add(name, null);
        continue;
      }
      writer.spent += this.#required.length;
      return missing(codec, name);
    }
    return undefined;
  }

  #writeEntries({ names, items }: Entries, writer: Writer): Mismatch | undefined {
    writer.depth++;
    writer.head(MAJOR_MAP, names.length);
    for (let index = 0; index < names.length; index++) {
      const name = names[index] as string;
      const codec = this.#properties.get(name)?.codec ?? (this.#additional as Codec);
      writer.key(name);
      const problem = codec.write(items[index], writer);
      if (problem !== undefined) return problem.at(name);
    }
    writer.depth--;
    return undefined;
  }

  read(value: unknown, reading: Reading): unknown {
    if (!isMap(value)) return Mismatch.at("an object", value);
    const result: Record<string, unknown> = reading.keep ? {} : value;
    let required = 0;
    for (const name of Object.keys(value)) {
      const property = this.#properties.get(name);
      if (property === undefined) {
        const problem = this.#refuseName(name);
        if (problem !== undefined) return problem;
      } else if (property.required) {
        required++;
      }
      const item = (property?.codec ?? (this.#additional as Codec)).read(value[name], reading);
      if (item instanceof Mismatch) return item.at(name);
      if (reading.keep || item !== value[name]) setOwn(result, name, item);
    }
    if (required === this.#required.length) return result;
    reading.steps -= this.#required.length;
    const absent = this.#required.find((name) => !Object.hasOwn(value, name)) as string;
    return missing((this.#properties.get(absent) as CodedProperty).codec, absent);
  }

  /** What is wrong with the name of a property that is not declared. */
  #refuseName(name: string): Mismatch | undefined {
    if (this.#additional === null) {
      const names = oneOf([...this.#properties.keys()], (each) => JSON.stringify(cut(each)));
      const expected = `an object with only ${names || "no properties"}`;
      return Mismatch.of(expected, `the property ${JSON.stringify(cut(name))}`);
    }
    if (this.#keys === "any" || KEYS[this.#keys].test(name)) return undefined;
    const expected = `${this.expected()} with ${this.#keys === "unsigned" ? "unsigned " : ""}integers as keys`;
    return Mismatch.of(expected, `the key ${JSON.stringify(cut(name))}`);
  }
}

function missing(codec: Codec, name: string): Mismatch {
  return Mismatch.of(() => codec.expected(), "nothing").at(name);
}

/** Whether the decoder made `value` of a map. */
function isMap(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    !ArrayBuffer.isView(value)
  );
}
