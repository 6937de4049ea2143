/**
 * Types that must hold all at once: a struct and what is flattened into it, a tagged variant and the
 * struct in it. They become one object, or a union of objects where alternatives are among them, so
 * that nothing else needs to know of them.
 */
import {
  REFERENCES_MAX,
  type SchemaBudget,
  SchemaError,
  tooManyReferences,
} from "./schema-limits.js";
import type { ObjectShape, Property, Shape } from "./shape.js";

/** Types that are to be merged once all definitions are known. */
export class Merger {
  readonly #budget: SchemaBudget;
  readonly #pending = new Map<Shape, readonly Shape[]>();
  readonly #open = new Set<Shape>();
  readonly #sizes = new WeakMap<Shape, number>();

  constructor(budget: SchemaBudget) {
    this.#budget = budget;
  }

  /** A shape that {@link finish} makes what all `parts` are together. */
  later(parts: readonly Shape[]): Shape {
    const shape: Shape = { kind: "any" };
    this.#pending.set(shape, parts);
    return shape;
  }

  /** Merges everything. Nothing may refer to itself by references alone any more. */
  finish(): void {
    for (const shape of [...this.#pending.keys()]) this.#settle(shape, 0);
  }

  /** `shape` with what it is made of merged; what is inside it may still be pending. */
  #settle(shape: Shape, depth: number): Shape {
    const parts = this.#pending.get(shape);
    if (parts === undefined) return shape;
    if (this.#open.has(shape)) throw new SchemaError("has a part that is made of itself");
    this.#open.add(shape);
    const merged = this.#merge(parts, depth);
    this.#open.delete(shape);
    this.#pending.delete(shape);
    // Others refer to this very object.
    return Object.assign(shape, merged);
  }

  #merge(parts: readonly Shape[], depth: number): Shape {
    let found: ObjectShape[] = [EMPTY];
    for (const part of parts) {
      const alternatives = this.#objects(part, depth + 1);
      if (alternatives === undefined) {
        // No objects, or not only: the part with the most to say stands for all.
        return parts.find((each) => each.kind !== "any" && each.kind !== "object") ?? part;
      }
      found = found.flatMap((left) => alternatives.map((right) => this.#join(left, right, depth)));
    }
    const [only] = found;
    return found.length === 1 && only !== undefined ? only : { kind: "union", alternatives: found };
  }

  /** The objects of which a value of `shape` is one; `undefined` if it may be anything else. */
  #objects(shape: Shape, depth: number): ObjectShape[] | undefined {
    if (depth > REFERENCES_MAX) throw tooManyReferences();
    this.#budget.take(1);
    const settled = this.#settle(shape, depth);
    switch (settled.kind) {
      case "reference":
        return this.#objects(settled.definition.shape, depth + 1);
      case "object":
        return [settled];
      case "any":
        return [EMPTY];
      case "union": {
        const found: ObjectShape[] = [];
        for (const part of settled.alternatives) {
          const objects = this.#objects(part, depth + 1);
          if (objects === undefined) return undefined;
          found.push(...objects);
        }
        return found;
      }
      default:
        return undefined;
    }
  }

  #join(left: ObjectShape, right: ObjectShape, depth: number): ObjectShape {
    // Whoever reads the result goes through both, once for each pair.
    this.#budget.take(this.#sizeOf(left, depth) + this.#sizeOf(right, depth));
    if (left === EMPTY) return right;
    if (right === EMPTY) return left;
    const properties = new Map<string, Property>(left.properties);
    for (const [name, property] of right.properties) {
      // What the part outside says of a name that both have is the more exact: it is the tag.
      if (!properties.has(name)) properties.set(name, property);
    }
    // Each part sees the properties of the other as its own, so that none can say what else there is,
    // but for a map among them.
    const map = [left, right].find((each) => !each.open && each.additional !== null);
    return {
      kind: "object",
      properties,
      additional: map?.additional ?? { kind: "any" },
      open: map === undefined,
      keys: map?.keys ?? "any",
    };
  }

  /** Parts of which `shape` is made, as far as they stand in it and not behind a reference. */
  #sizeOf(shape: Shape, depth: number): number {
    const known = this.#sizes.get(shape);
    if (known !== undefined) return known;
    const settled = this.#settle(shape, depth + 1);
    const inner = partsOf(settled).reduce((sum, part) => sum + this.#sizeOf(part, depth), 1);
    const size = settled.kind === "constants" ? inner + settled.values.length : inner;
    this.#sizes.set(shape, size);
    return size;
  }
}

/** The types that stand in `shape`. */
function partsOf(shape: Shape): readonly Shape[] {
  switch (shape.kind) {
    case "array":
      return shape.items === null ? shape.prefix : [...shape.prefix, shape.items];
    case "object": {
      const own = [...shape.properties.values()].map((property) => property.shape);
      return shape.additional === null ? own : [...own, shape.additional];
    }
    case "union":
      return shape.alternatives;
    default:
      return [];
  }
}

const EMPTY: ObjectShape = {
  kind: "object",
  properties: new Map(),
  additional: { kind: "any" },
  open: true,
  keys: "any",
};
