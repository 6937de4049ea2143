/**
 * JSON Schema (2020-12), as guests describe their types with it, parsed into a {@link Shape}.
 *
 * Schemas come from guests and are allegations: depth and number of nodes are bounded, names are
 * only ever map keys, and `pattern` is ignored (its run time would be the guest's to choose).
 * Keywords that Ampoule does not know add no constraint, as the specification asks.
 */

/** A type, as far as values are checked and converted. */
export type Shape =
  | { readonly kind: "any" }
  | { readonly kind: "null" }
  | { readonly kind: "boolean" }
  | { readonly kind: "number" }
  | { readonly kind: "bytes" }
  | { readonly kind: "string"; readonly character: boolean }
  | {
      readonly kind: "integer";
      /** 64-bit types are `bigint` in JavaScript. */
      readonly big: boolean;
      /** The Rust-like name for messages: `int32`, `uint64`, or `integer`. */
      readonly format: string;
      readonly minimum: bigint;
      readonly maximum: bigint;
    }
  | { readonly kind: "constant"; readonly value: string | number | boolean | null }
  | {
      readonly kind: "array";
      readonly prefix: readonly Shape[];
      /** Type of the items after `prefix`; `null` when there may be none. */
      readonly items: Shape | null;
      readonly minimum: number;
      readonly maximum: number;
    }
  | {
      readonly kind: "object";
      readonly properties: ReadonlyMap<string, Property>;
      /** Type of other properties; `null` when there may be none. */
      readonly additional: Shape | null;
    }
  | { readonly kind: "union"; readonly alternatives: readonly Shape[] }
  | { readonly kind: "reference"; readonly definition: Definition };

/** A property of an object. */
export interface Property {
  readonly shape: Shape;
  readonly required: boolean;
  readonly documentation: string | null;
}

/** An entry of `$defs`. */
export interface Definition {
  readonly name: string;
  readonly documentation: string | null;
  /** Set once the definition is parsed; before, only references to it exist. */
  shape: Shape;
}

/** A schema that cannot be used. */
export class SchemaError extends Error {}

const DEPTH_MAX = 64;
const NODES_MAX = 10_000;
const ANY: Shape = { kind: "any" };

const INTEGER_RANGES: Readonly<Record<string, readonly [bigint, bigint]>> = {
  int8: [-(2n ** 7n), 2n ** 7n - 1n],
  uint8: [0n, 2n ** 8n - 1n],
  int16: [-(2n ** 15n), 2n ** 15n - 1n],
  uint16: [0n, 2n ** 16n - 1n],
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
};
const SAFE_RANGE = [BigInt(Number.MIN_SAFE_INTEGER), BigInt(Number.MAX_SAFE_INTEGER)] as const;

type Json = Readonly<Record<string, unknown>>;

/** Parses one self-contained schema. */
export function parseSchema(schema: unknown): Shape {
  return new Parser(schema).parse();
}

class Parser {
  readonly #root: unknown;
  readonly #definitions = new Map<string, Definition>();
  readonly #pending: { definition: Definition; schema: unknown }[] = [];
  #nodes = 0;

  constructor(root: unknown) {
    this.#root = root;
  }

  parse(): Shape {
    const title = isObject(this.#root) ? this.#root["title"] : undefined;
    const shape = this.#shape(this.#root, 0);
    const root = isNamed(shape) && typeof title === "string" ? this.#named(title, shape) : shape;
    // Definitions are parsed one after the other, not inside each other, so that a recursive type
    // ends at its name.
    for (let next = this.#pending.pop(); next !== undefined; next = this.#pending.pop()) {
      next.definition.shape = this.#shape(next.schema, 0);
    }
    for (const definition of this.#definitions.values()) refuseEmptyCycle(definition);
    return root;
  }

  #shape(schema: unknown, depth: number): Shape {
    if (++this.#nodes > NODES_MAX) throw new SchemaError(`has more than ${NODES_MAX} parts`);
    if (depth > DEPTH_MAX) throw new SchemaError(`is nested more than ${DEPTH_MAX} levels deep`);
    if (schema === true) return ANY;
    if (schema === false) return { kind: "union", alternatives: [] };
    if (!isObject(schema)) throw new SchemaError("has a part that is neither object nor boolean");

    const reference = schema["$ref"];
    if (reference !== undefined) return this.#reference(reference);
    if ("const" in schema) return constant(schema["const"]);
    if (Array.isArray(schema["enum"])) return union(schema["enum"].map(constant));
    for (const keyword of ["oneOf", "anyOf"]) {
      const alternatives = schema[keyword];
      if (Array.isArray(alternatives)) {
        return union(alternatives.map((part) => this.#shape(part, depth + 1)));
      }
    }
    if (Array.isArray(schema["allOf"])) return this.#intersection(schema, depth);
    const { type } = schema as { type?: unknown };
    if (Array.isArray(type)) {
      return union(type.map((name) => this.#typed(name, schema, depth)));
    }
    return this.#typed(type, schema, depth);
  }

  #typed(type: unknown, schema: Json, depth: number): Shape {
    switch (type) {
      case "null":
      case "boolean":
      case "number":
        return { kind: type };
      case "string":
        if (schema["contentEncoding"] === "bytes") return { kind: "bytes" };
        return {
          kind: "string",
          character: schema["minLength"] === 1 && schema["maxLength"] === 1,
        };
      case "integer":
        return integer(schema);
      case "array":
        return this.#array(schema, depth);
      case "object":
        return this.#object(schema, depth);
      case undefined:
        return "properties" in schema ? this.#object(schema, depth) : ANY;
      default:
        throw new SchemaError(`has the unknown type ${JSON.stringify(type)}`);
    }
  }

  /** The root as a definition of its own, so that its name is not lost. */
  #named(name: string, shape: Shape): Shape {
    const definition = { name, documentation: documentation(this.#root), shape };
    // A recursive type has met itself and is going to be parsed under this name already.
    if (!this.#definitions.has("#")) this.#definitions.set("#", definition);
    return { kind: "reference", definition: this.#definitions.get("#") ?? definition };
  }

  #reference(reference: unknown): Shape {
    if (reference === "#") return this.#self();
    const prefix = "#/$defs/";
    if (typeof reference !== "string" || !reference.startsWith(prefix)) {
      throw new SchemaError(`has a reference to elsewhere: ${JSON.stringify(reference)}`);
    }
    const name = reference.slice(prefix.length).replaceAll("~1", "/").replaceAll("~0", "~");
    let definition = this.#definitions.get(name);
    if (definition === undefined) {
      const definitions = isObject(this.#root) ? this.#root["$defs"] : undefined;
      if (!isObject(definitions) || !Object.hasOwn(definitions, name)) {
        throw new SchemaError(`refers to ${JSON.stringify(name)}, which is not defined`);
      }
      const schema = definitions[name];
      definition = { name, documentation: documentation(schema), shape: ANY };
      this.#definitions.set(name, definition);
      this.#pending.push({ definition, schema });
    }
    return { kind: "reference", definition };
  }

  /** A reference to the whole schema: a recursive type at its root. */
  #self(): Shape {
    let definition = this.#definitions.get("#");
    if (definition === undefined) {
      const title = isObject(this.#root) ? this.#root["title"] : undefined;
      const name = typeof title === "string" ? title : "Value";
      definition = { name, documentation: documentation(this.#root), shape: ANY };
      this.#definitions.set("#", definition);
      this.#pending.push({ definition, schema: this.#root });
    }
    return { kind: "reference", definition };
  }

  #array(schema: Json, depth: number): Shape {
    const prefixItems = schema["prefixItems"];
    const prefix = Array.isArray(prefixItems)
      ? prefixItems.map((part) => this.#shape(part, depth + 1))
      : [];
    const { items } = schema as { items?: unknown };
    const maximum = count(schema["maxItems"], Number.POSITIVE_INFINITY);
    const closed = items === false || maximum <= prefix.length;
    return {
      kind: "array",
      prefix,
      items: closed ? null : items === undefined ? ANY : this.#shape(items, depth + 1),
      minimum: count(schema["minItems"], 0),
      maximum: closed ? Math.min(maximum, prefix.length) : maximum,
    };
  }

  #object(schema: Json, depth: number): Shape {
    const required: readonly unknown[] = Array.isArray(schema["required"])
      ? schema["required"]
      : [];
    const requiredNames = new Set(required);
    const properties = new Map<string, Property>();
    if (isObject(schema["properties"])) {
      for (const [name, part] of Object.entries(schema["properties"])) {
        properties.set(name, {
          shape: this.#shape(part, depth + 1),
          required: requiredNames.has(name),
          documentation: documentation(part),
        });
      }
    }
    // Maps with other keys than strings are described by the pattern of their keys. Patterns are not
    // matched; what the values are is known all the same.
    const patterns = schema["patternProperties"];
    const byPattern = isObject(patterns) ? Object.values(patterns) : [];
    const additional = byPattern.length === 1 ? byPattern[0] : schema["additionalProperties"];
    return {
      kind: "object",
      properties,
      additional:
        additional === undefined
          ? ANY
          : additional === false
            ? null
            : this.#shape(additional, depth + 1),
    };
  }

  /** `allOf`: objects are merged (what `#[serde(flatten)]` needs); a single part stands for itself. */
  #intersection(schema: Json, depth: number): Shape {
    const { allOf, ...rest } = schema as { allOf: readonly unknown[] } & Json;
    const parts = allOf.map((part) => this.#shape(part, depth + 1));
    if ("properties" in rest) parts.push(this.#object(rest, depth + 1));
    const [only] = parts;
    if (parts.length === 1 && only !== undefined) return only;
    const properties = new Map<string, Property>();
    for (const part of parts) {
      // A reference's target may not be parsed yet; then nothing is known here.
      if (part.kind !== "object") return ANY;
      for (const [name, property] of part.properties) properties.set(name, property);
    }
    return { kind: "object", properties, additional: ANY };
  }
}

/** Follows references that are nothing but references: `A = B = A` describes no value. */
function refuseEmptyCycle(start: Definition): void {
  const seen = new Set<Definition>();
  let shape: Shape = { kind: "reference", definition: start };
  while (shape.kind === "reference") {
    if (seen.has(shape.definition)) {
      throw new SchemaError(`defines ${JSON.stringify(start.name)} by itself`);
    }
    seen.add(shape.definition);
    shape = shape.definition.shape;
  }
}

/** The text that a schema carries for people. */
export function documentation(schema: unknown): string | null {
  const text = isObject(schema) ? schema["description"] : undefined;
  return typeof text === "string" && text !== "" ? text : null;
}

/** Whether a type is one that people give names to: a struct or an enum. */
function isNamed(shape: Shape): boolean {
  return (
    shape.kind === "object" ||
    (shape.kind === "union" && !shape.alternatives.some(({ kind }) => kind === "null"))
  );
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function constant(value: unknown): Shape {
  if (value === null) return { kind: "null" };
  if (typeof value === "string" || typeof value === "boolean" || typeof value === "number") {
    return { kind: "constant", value };
  }
  throw new SchemaError("has a constant that is no string, number, boolean or null");
}

function union(alternatives: readonly Shape[]): Shape {
  const [only] = alternatives;
  return alternatives.length === 1 && only !== undefined ? only : { kind: "union", alternatives };
}

function count(value: unknown, absent: number): number {
  return typeof value === "number" && value >= 0 ? value : absent;
}

function integer(schema: Json): Shape {
  const named = typeof schema["format"] === "string" ? schema["format"] : "";
  const format = Object.hasOwn(INTEGER_RANGES, named) ? named : "integer";
  const [low, high] = INTEGER_RANGES[format] ?? SAFE_RANGE;
  const minimum = bound(schema["minimum"], low);
  const maximum = bound(schema["maximum"], high);
  return {
    kind: "integer",
    big: format === "int64" || format === "uint64",
    format,
    minimum: minimum > low ? minimum : low,
    maximum: maximum < high ? maximum : high,
  };
}

/** A bound beyond 2^53 has lost digits in JSON; the format's own range is exact. */
function bound(value: unknown, absent: bigint): bigint {
  return Number.isSafeInteger(value) ? BigInt(value as number) : absent;
}
