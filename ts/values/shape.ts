/** Types as far as values are checked and converted: what a JSON Schema becomes. */

/** A type. */
export type Shape =
  | { readonly kind: "any" }
  | { readonly kind: "null" }
  | { readonly kind: "boolean" }
  | {
      readonly kind: "number";
      /** Whether the guest keeps it with 32 bits. */
      readonly single: boolean;
    }
  | { readonly kind: "bytes" }
  | { readonly kind: "string"; readonly character: boolean }
  | IntegerShape
  | { readonly kind: "constants"; readonly values: readonly Constant[] }
  | ArrayShape
  | ObjectShape
  | UnionShape
  | { readonly kind: "reference"; readonly definition: Definition };

/** One of the values that a type lists. */
export type Constant = string | number | boolean | null;

/** A whole number. */
export interface IntegerShape {
  readonly kind: "integer";
  /** Types of 64 and 128 bits are `bigint` in JavaScript. */
  readonly big: boolean;
  /** The Rust-like name for messages: `int32`, `uint64`, or `integer`. */
  readonly format: string;
  readonly minimum: bigint;
  readonly maximum: bigint;
}

/** A list. */
export interface ArrayShape {
  readonly kind: "array";
  readonly prefix: readonly Shape[];
  /** Type of the items after `prefix`; `null` when there may be none. */
  readonly items: Shape | null;
  readonly minimum: number;
  readonly maximum: number;
  /** Whether it is a set. */
  readonly unique: boolean;
}

/** A struct (with properties) or a map (with none). */
export interface ObjectShape {
  readonly kind: "object";
  readonly properties: ReadonlyMap<string, Property>;
  /** Type of other properties; `null` when there may be none. */
  readonly additional: Shape | null;
  /** Whether the schema says nothing of other properties, so that the guest ignores them. */
  readonly open: boolean;
  /** What the names of other properties must look like. */
  readonly keys: "any" | "integer" | "unsigned";
}

/** One of several types. */
export interface UnionShape {
  readonly kind: "union";
  readonly alternatives: readonly Shape[];
}

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

/** The shape behind references, of which no more than a few dozen stand in a row. */
export function target(shape: Shape): Exclude<Shape, { kind: "reference" }> {
  let found = shape;
  while (found.kind === "reference") found = found.definition.shape;
  return found;
}

/** Kinds of JavaScript values, as bits, so that sets of them are numbers. */
export const Kind = {
  null: 1,
  boolean: 2,
  number: 4,
  bigint: 8,
  string: 16,
  bytes: 32,
  array: 64,
  object: 128,
} as const;

const EVERY_KIND = 255;
const KIND_OF_SHAPE: Readonly<Record<string, number>> = {
  any: EVERY_KIND,
  null: Kind.null,
  boolean: Kind.boolean,
  number: Kind.number,
  bytes: Kind.bytes,
  string: Kind.string,
  // A number where a `bigint` belongs is the wrong kind of integer rather than something else.
  integer: Kind.number | Kind.bigint,
  array: Kind.array,
  object: Kind.object,
};

/** What is known of unions and lists, which others may share: each is looked at once. */
const known = new WeakMap<Shape, number>();

/** The kinds of which values of type `shape` can be. */
export function kindsOf(shape: Shape): number {
  const found = target(shape);
  if (found.kind !== "constants" && found.kind !== "union") {
    return KIND_OF_SHAPE[found.kind] as number;
  }
  let kinds = known.get(found);
  if (kinds === undefined) {
    kinds =
      found.kind === "constants"
        ? found.values.reduce((sum: number, value) => sum | kindOfConstant(value), 0)
        : found.alternatives.reduce((sum, part) => sum | kindsOf(part), 0);
    known.set(found, kinds);
  }
  return kinds;
}

/** The kind of one constant. */
export function kindOfConstant(value: Constant): number {
  return value === null ? Kind.null : Kind[typeof value as "string" | "number" | "boolean"];
}
