/**
 * Which alternatives of a union a value may be: found by its kind, by the value of its tag or by the
 * name of a property, so that the number of alternatives does not matter.
 */
import { smallNumber } from "./scalar-codecs.js";
import { type Constant, Kind, kindsOf, type ObjectShape, type Shape, target } from "./shape.js";

/** The named parts of an object, as far as alternatives are told apart by them. */
export interface Parts {
  get(name: string): unknown;
  names(): Iterable<string>;
}

/** The property by whose value the objects of a union are told apart. */
export interface Tag {
  readonly name: string;
  /** The values that there are and the alternatives that have them. */
  readonly values: ReadonlyMap<unknown, number>;
}

/** Properties of one alternative that are tried as the tag of all. */
const TAGS_TRIED = 8;
const NONE: readonly number[] = [];

/** The alternatives of one union, by what a value looks like. */
export class Alternatives {
  /** How objects are told apart, if all of them are by one property. */
  readonly tag: Tag | undefined;
  readonly #constants = new Map<unknown, readonly number[]>();
  /** Alternatives that are not constants, with the kinds of their values. */
  readonly #others: { readonly index: number; readonly kinds: number }[] = [];
  readonly #byKinds = new Map<number, readonly number[]>();
  /** Objects with a property that they alone must have, by its name. */
  readonly #keyed = new Map<string, number>();
  /** Whatever else may be an object. */
  readonly #loose: readonly number[];

  constructor(shapes: readonly Shape[]) {
    const objects = new Map<number, ObjectShape>();
    const loose: number[] = [];
    for (const [index, shape] of shapes.entries()) {
      const found = target(shape);
      if (found.kind === "constants" || found.kind === "null") {
        const values: readonly Constant[] = found.kind === "null" ? [null] : found.values;
        for (const value of values) {
          if (!this.#constants.has(value)) this.#constants.set(value, [index]);
        }
        continue;
      }
      const kinds = kindsOf(found);
      this.#others.push({ index, kinds });
      if (found.kind === "object") objects.set(index, found);
      else if (kinds & Kind.object) loose.push(index);
    }
    this.tag = loose.length === 0 ? tagOf(objects) : undefined;
    if (this.tag === undefined) this.#key(objects, loose);
    this.#loose = loose.sort((a, b) => a - b);
  }

  #key(objects: ReadonlyMap<number, ObjectShape>, loose: number[]): void {
    const owners = new Map<string, number>();
    for (const { properties } of objects.values()) {
      for (const [name, { required }] of properties) {
        if (required) owners.set(name, (owners.get(name) ?? 0) + 1);
      }
    }
    for (const [index, { properties }] of objects) {
      const own = [...properties].find(([name, each]) => each.required && owners.get(name) === 1);
      if (own === undefined) loose.push(index);
      else this.#keyed.set(own[0], index);
    }
  }

  /** The alternatives that `value`, of those kinds, may be, in their order. */
  candidates(value: unknown, kinds: number, parts: () => Parts): readonly number[] {
    const constant = this.#constants.get(plain(value));
    if (constant !== undefined) return constant;
    return kinds === Kind.object ? this.#objects(parts()) : this.#ofKinds(kinds);
  }

  #ofKinds(kinds: number): readonly number[] {
    let found = this.#byKinds.get(kinds);
    if (found === undefined) {
      const of = (some: number): number[] =>
        this.#others.filter((each) => each.kinds & some).map(({ index }) => index);
      found = of(kinds);
      // An integer is a float only where no integer is due.
      if (kinds === Kind.bigint && found.length === 0) found = of(Kind.number);
      // A typed array is bytes where those are due, and a list of numbers only elsewhere.
      if (kinds === (Kind.bytes | Kind.array)) found = [...new Set([...of(Kind.bytes), ...found])];
      this.#byKinds.set(kinds, found);
    }
    return found;
  }

  #objects(parts: Parts): readonly number[] {
    if (this.tag !== undefined) {
      const index = this.tag.values.get(plain(parts.get(this.tag.name)));
      return index === undefined ? NONE : [index];
    }
    if (this.#keyed.size === 0) return this.#loose;
    const found: number[] = [];
    for (const name of parts.names()) {
      const index = this.#keyed.get(name);
      if (index !== undefined) found.push(index);
    }
    if (found.length === 0) return this.#loose;
    return this.#loose.length === 0 && found.length === 1
      ? found
      : [...found, ...this.#loose].sort((a, b) => a - b);
  }
}

/** `value` as constants have it. */
function plain(value: unknown): unknown {
  if (value === undefined) return null;
  return typeof value === "bigint" ? smallNumber(value) : value;
}

/** The property that every object must have with constants of its own. */
function tagOf(objects: ReadonlyMap<number, ObjectShape>): Tag | undefined {
  if (objects.size < 2) return undefined;
  const [first] = objects.values();
  let tried = 0;
  for (const [name, property] of first?.properties ?? []) {
    if (!property.required || target(property.shape).kind !== "constants") continue;
    if (++tried > TAGS_TRIED) break;
    const values = valuesOf(name, objects);
    if (values !== undefined) return { name, values };
  }
  return undefined;
}

function valuesOf(
  name: string,
  objects: ReadonlyMap<number, ObjectShape>,
): ReadonlyMap<unknown, number> | undefined {
  const values = new Map<unknown, number>();
  for (const [index, { properties }] of objects) {
    const property = properties.get(name);
    const shape = property?.required ? target(property.shape) : undefined;
    if (shape?.kind !== "constants") return undefined;
    for (const value of shape.values) {
      if (values.has(value)) return undefined;
      values.set(value, index);
    }
  }
  return values;
}
