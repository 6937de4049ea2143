/**
 * Tables of guest functions that are made often and used for few functions: what is looked up is bound
 * then. With sixty functions, a table of the other kind takes longer to make than a call.
 */
import type { Export } from "./exports.js";
import { type Bind, type Fail, isListed, lookUp, prototypeOf, type Table } from "./tables.js";

/** Makes tables of one guest's functions. */
export class LazyTables {
  readonly exports: readonly Export[];
  readonly #listed: ReadonlyMap<string | symbol, Export>;
  /** Has the names, and explains what it has not. Not frozen, since a table shows other values. */
  readonly #shapes = new Map<Fail, Table>();

  constructor(exports: readonly Export[]) {
    this.exports = exports;
    this.#listed = new Map(exports.filter(isListed).map((each) => [each.name, each]));
  }

  /** A table with what `bind` makes of each export, once. It cannot be changed. */
  make(fail: Fail, bind: Bind): Table {
    const bound = new Map<string | symbol, () => unknown>();
    const look = (name: string | symbol): unknown => {
      const known = bound.get(name);
      if (known !== undefined) return known();
      const each = this.#listed.get(name);
      if (each === undefined) return undefined;
      const made = lookUp(each, bind(each), () => table);
      bound.set(name, made);
      return made();
    };
    const table: Table = new Proxy(this.#shape(fail), {
      get: (shape, name) => (this.#listed.has(name) ? look(name) : Reflect.get(shape, name)),
      getOwnPropertyDescriptor(shape, name) {
        const own = Reflect.getOwnPropertyDescriptor(shape, name);
        return own && { ...own, value: look(name) };
      },
      set: () => false,
      defineProperty: () => false,
      deleteProperty: () => false,
      setPrototypeOf: () => false,
      preventExtensions: () => false,
    });
    return table;
  }

  #shape(fail: Fail): Table {
    const known = this.#shapes.get(fail);
    if (known !== undefined) return known;
    const shape = Object.create(prototypeOf(this.exports, fail)) as Table;
    for (const name of this.#listed.keys()) {
      const value = undefined;
      Object.defineProperty(shape, name, { value, enumerable: true, configurable: true });
    }
    this.#shapes.set(fail, shape);
    return shape;
  }
}
