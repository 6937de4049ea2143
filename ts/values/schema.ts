/**
 * JSON Schema (2020-12), as guests describe their types with it, parsed into a {@link Shape}.
 *
 * Schemas come from guests and are allegations: everything that they can make long is bounded, names
 * are only ever map keys, and `pattern` is ignored (its run time would be the guest's to choose).
 * Keywords that Ampoule does not know add no constraint, as the specification asks.
 */
import { Merger } from "./merge.js";
import {
  NESTING_MAX,
  REFERENCES_MAX,
  SchemaBudget,
  SchemaError,
  tooManyReferences,
} from "./schema-limits.js";
import {
  type Constant,
  type Definition,
  type IntegerShape,
  type ObjectShape,
  type Property,
  type Shape,
  target,
} from "./shape.js";
import { cut } from "./text.js";

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
  int128: [-(2n ** 127n), 2n ** 127n - 1n],
  uint128: [0n, 2n ** 128n - 1n],
};
const BIG_FORMATS = new Set(["int64", "uint64", "int128", "uint128"]);
const SAFE_RANGE = [BigInt(Number.MIN_SAFE_INTEGER), BigInt(Number.MAX_SAFE_INTEGER)] as const;

/** Patterns by which maps with whole numbers as keys are described. */
const KEY_PATTERNS: Readonly<Record<string, "integer" | "unsigned">> = {
  "^-?\\d+$": "integer",
  "^\\d+$": "unsigned",
};

type Json = Readonly<Record<string, unknown>>;

/**
 * Parses one self-contained schema, which may declare what is left of `budget`.
 *
 * @throws SchemaError
 */
export function parseSchema(schema: unknown, budget: SchemaBudget = new SchemaBudget()): Shape {
  return new Parser(schema, budget).parse();
}

class Parser {
  readonly #root: unknown;
  readonly #budget: SchemaBudget;
  readonly #merger: Merger;
  readonly #definitions = new Map<string, Definition>();
  readonly #pending: { definition: Definition; schema: unknown }[] = [];

  constructor(root: unknown, budget: SchemaBudget) {
    this.#root = root;
    this.#budget = budget;
    this.#merger = new Merger(budget);
  }

  parse(): Shape {
    const shape = this.#shape(this.#root, 0);
    // Definitions are parsed one after the other, not inside each other, so that a recursive type
    // ends at its name.
    for (let next = this.#pending.pop(); next !== undefined; next = this.#pending.pop()) {
      next.definition.shape = this.#shape(next.schema, 0);
    }
    const definitions = [...this.#definitions.values(), { name: "it", documentation: null, shape }];
    refuseEmptyCycles(definitions);
    this.#merger.finish();
    // What was merged may lead to itself only now.
    refuseEmptyCycles(definitions);
    const title = isObject(this.#root) ? this.#root["title"] : undefined;
    return isNamed(shape) && typeof title === "string" ? this.#named(title, shape) : shape;
  }

  #shape(schema: unknown, depth: number): Shape {
    this.#budget.take(1);
    if (depth > NESTING_MAX) {
      throw new SchemaError(`is nested more than ${NESTING_MAX} levels deep`);
    }
    if (schema === true) return ANY;
    if (schema === false) return { kind: "union", alternatives: [] };
    if (!isObject(schema)) throw new SchemaError("has a part that is neither object nor boolean");
    if ("const" in schema) return this.#constants([schema["const"]]);
    if (Array.isArray(schema["enum"])) return this.#constants(schema["enum"]);
    const parts = this.#parts(schema, depth);
    const [only = ANY] = parts;
    return parts.length <= 1 ? only : this.#merger.later(parts);
  }

  /** What a value must be all at once. */
  #parts(schema: Json, depth: number): Shape[] {
    const parts: Shape[] = [];
    const own = this.#own(schema, depth);
    const reference = schema["$ref"];
    if (reference !== undefined) parts.push(this.#reference(reference));
    for (const keyword of ["oneOf", "anyOf"]) {
      const alternatives = schema[keyword];
      if (!Array.isArray(alternatives)) continue;
      parts.push(union(alternatives.map((part) => this.#shape(part, depth + 1))));
    }
    const all = schema["allOf"];
    if (Array.isArray(all)) parts.push(...all.map((part) => this.#shape(part, depth + 1)));
    if (own === undefined) return parts;
    // Beside other parts, properties are what a struct or a variant adds to them; a type without
    // properties says nothing that they do not say.
    const adds =
      own.kind === "object" &&
      (own.properties.size > 0 || isObject(schema["additionalProperties"]));
    return parts.length === 0 || adds ? [own, ...parts] : parts;
  }

  /** The type that the keywords of `schema` itself describe, if they describe one. */
  #own(schema: Json, depth: number): Shape | undefined {
    const { type } = schema as { type?: unknown };
    if (Array.isArray(type)) return union(type.map((name) => this.#typed(name, schema, depth)));
    if (type === undefined && !("properties" in schema)) return undefined;
    return this.#typed(type ?? "object", schema, depth);
  }

  #typed(type: unknown, schema: Json, depth: number): Shape {
    switch (type) {
      case "null":
      case "boolean":
        return { kind: type };
      case "number":
        return { kind: "number", single: schema["format"] === "float" };
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
      default:
        throw new SchemaError(`has the unknown type ${cut(JSON.stringify(type) ?? "")}`);
    }
  }

  #constants(values: readonly unknown[]): Shape {
    this.#budget.takeConstants(values.length);
    if (values.length === 1 && values[0] === null) return { kind: "null" };
    return { kind: "constants", values: values.map(constant) };
  }

  /** The root as a definition of its own, so that its name is not lost. */
  #named(name: string, shape: Shape): Shape {
    // A recursive type has met itself and is parsed under this name already.
    const definition = this.#definitions.get("#") ?? {
      name,
      documentation: documentation(this.#root),
      shape,
    };
    return { kind: "reference", definition };
  }

  #reference(reference: unknown): Shape {
    if (reference === "#") return this.#self();
    const prefix = "#/$defs/";
    if (typeof reference !== "string" || !reference.startsWith(prefix)) {
      throw new SchemaError(
        `has a reference to elsewhere: ${cut(JSON.stringify(reference) ?? "")}`,
      );
    }
    const name = reference.slice(prefix.length).replaceAll("~1", "/").replaceAll("~0", "~");
    let definition = this.#definitions.get(name);
    if (definition === undefined) {
      const definitions = isObject(this.#root) ? this.#root["$defs"] : undefined;
      if (!isObject(definitions) || !Object.hasOwn(definitions, name)) {
        throw new SchemaError(`refers to ${JSON.stringify(cut(name))}, which is not defined`);
      }
      definition = this.#define(name, name, definitions[name]);
    }
    return { kind: "reference", definition };
  }

  /** A reference to the whole schema: a recursive type at its root. */
  #self(): Shape {
    const title = isObject(this.#root) ? this.#root["title"] : undefined;
    const name = typeof title === "string" ? title : "Value";
    const definition = this.#definitions.get("#") ?? this.#define("#", name, this.#root);
    return { kind: "reference", definition };
  }

  #define(key: string, name: string, schema: unknown): Definition {
    const definition = { name, documentation: documentation(schema), shape: ANY };
    this.#definitions.set(key, definition);
    this.#pending.push({ definition, schema });
    return definition;
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
      unique: schema["uniqueItems"] === true,
    };
  }

  #object(schema: Json, depth: number): ObjectShape {
    const required = new Set(Array.isArray(schema["required"]) ? schema["required"] : []);
    const properties = new Map<string, Property>();
    if (isObject(schema["properties"])) {
      const entries = Object.entries(schema["properties"]);
      this.#budget.takeProperties(entries.length);
      for (const [name, part] of entries) {
        properties.set(name, {
          shape: this.#shape(part, depth + 1),
          required: required.has(name),
          documentation: documentation(part),
        });
      }
    }
    // Maps with other keys than strings are described by the pattern of their keys. The two that mean
    // a whole number are known; others are not matched, but what the values are is known all the same.
    const patterns = schema["patternProperties"];
    const byPattern = isObject(patterns) ? Object.entries(patterns) : [];
    const [pattern, values] = byPattern.length === 1 ? (byPattern[0] ?? []) : [];
    const additional =
      byPattern.length > 1 ? true : pattern === undefined ? schema["additionalProperties"] : values;
    return {
      kind: "object",
      properties,
      additional:
        additional === undefined
          ? ANY
          : additional === false
            ? null
            : this.#shape(additional, depth + 1),
      open: additional === undefined && properties.size > 0,
      keys: pattern === undefined ? "any" : (KEY_PATTERNS[pattern] ?? "any"),
    };
  }
}

/**
 * Refuses types that are made of nothing but references and alternatives, such as `A = B = A`, and
 * those that are very many of them away from a value. Looks at each definition once, without
 * recursion: a guest chooses how far they lead.
 */
function refuseEmptyCycles(definitions: readonly Definition[]): void {
  /** How many steps lead from a definition to a value; 0 while that is being found out. */
  const distances = new Map<Definition, number>();
  for (const start of definitions) {
    const open: { definition: Definition; next: Step[]; distance: number }[] = [];
    const enter = (definition: Definition): void => {
      distances.set(definition, 0);
      open.push({ definition, next: stepsFrom(definition.shape, 1), distance: 1 });
    };
    if (!distances.has(start)) enter(start);
    for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
      const next = top.next.at(-1);
      if (next === undefined) {
        distances.set(top.definition, top.distance);
        open.pop();
        continue;
      }
      const distance = next.definition === undefined ? 1 : distances.get(next.definition);
      if (distance === undefined) {
        enter(next.definition as Definition);
      } else if (distance === 0) {
        const name = JSON.stringify(cut(next.definition?.name ?? ""));
        throw new SchemaError(`defines ${name} by itself`);
      } else {
        top.distance = Math.max(top.distance, next.count + distance);
        if (top.distance > REFERENCES_MAX) throw tooManyReferences();
        top.next.pop();
      }
    }
  }
}

/** Where `count` references and alternatives lead: to a definition, or to a value. */
interface Step {
  readonly definition: Definition | undefined;
  readonly count: number;
}

function stepsFrom(shape: Shape, count: number): Step[] {
  if (shape.kind === "reference") return [{ definition: shape.definition, count }];
  if (shape.kind !== "union") return [];
  if (count > REFERENCES_MAX) throw tooManyReferences();
  return shape.alternatives.flatMap((part) => [
    { definition: undefined, count },
    ...stepsFrom(part, count + 1),
  ]);
}

/** The text that a schema carries for people. */
export function documentation(schema: unknown): string | null {
  const text = isObject(schema) ? schema["description"] : undefined;
  return typeof text === "string" && text !== "" ? text : null;
}

/** Whether a type is one that people give names to: a struct or an enum. */
function isNamed(shape: Shape): boolean {
  const { kind } = shape;
  if (kind === "object" || kind === "constants") return true;
  return kind === "union" && !shape.alternatives.some((part) => target(part).kind === "null");
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function constant(value: unknown): Constant {
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new SchemaError("has a constant that is no string, number, boolean or null");
}

function union(alternatives: readonly Shape[]): Shape {
  const [only] = alternatives;
  return alternatives.length === 1 && only !== undefined ? only : { kind: "union", alternatives };
}

function count(value: unknown, absent: number): number {
  return typeof value === "number" && value >= 0 ? value : absent;
}

function integer(schema: Json): IntegerShape {
  const named = typeof schema["format"] === "string" ? schema["format"] : "";
  const format = Object.hasOwn(INTEGER_RANGES, named) ? named : "integer";
  const [low, high] = INTEGER_RANGES[format] ?? SAFE_RANGE;
  const minimum = bound(schema["minimum"], low);
  const maximum = bound(schema["maximum"], high);
  return {
    kind: "integer",
    big: BIG_FORMATS.has(format),
    format,
    minimum: minimum > low ? minimum : low,
    maximum: maximum < high ? maximum : high,
  };
}

/** A bound beyond 2^53 has lost digits in JSON; the format's own range is exact. */
function bound(value: unknown, absent: bigint): bigint {
  return Number.isSafeInteger(value) ? BigInt(value as number) : absent;
}
