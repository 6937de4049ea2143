/**
 * Tables of guest functions that are made often and used for few functions: what is looked up is bound
 * then. With sixty functions, a table of the other kind takes longer to make than a call.
 */
import { type Export, tableOf } from "./functions.js";

type Function_ = (...args: unknown[]) => unknown;
type Table = Record<string, Function_>;

/** Makes tables of one guest's functions. */
export class LazyTables {
  readonly #exports: ReadonlyMap<string | symbol, Export>;
  /** Has the names, and explains what it has not. Not frozen, since a table shows other values. */
  readonly #shape: Table;

  constructor(exports: readonly Export[]) {
    this.#exports = new Map(exports.map((each) => [each.name, each]));
    this.#shape = Object.create(Object.getPrototypeOf(tableOf(exports, () => () => {}))) as Table;
    for (const { name } of exports) {
      const value = undefined;
      Object.defineProperty(this.#shape, name, { value, enumerable: true, configurable: true });
    }
  }

  /** A table with what `bind` makes of each export, once. It cannot be changed. */
  make(bind: (each: Export) => Function_): Table {
    const bound = new Map<string | symbol, Function_>();
    const lookUp = (name: string | symbol): Function_ | undefined => {
      const known = bound.get(name);
      const each = known === undefined ? this.#exports.get(name) : undefined;
      if (each === undefined) return known;
      const made = bind(each);
      bound.set(name, made);
      return made;
    };
    return new Proxy(this.#shape, {
      get: (shape, name) => lookUp(name) ?? Reflect.get(shape, name),
      getOwnPropertyDescriptor(shape, name) {
        const own = Reflect.getOwnPropertyDescriptor(shape, name);
        return own && { ...own, value: lookUp(name) };
      },
      set: () => false,
      defineProperty: () => false,
      deleteProperty: () => false,
      setPrototypeOf: () => false,
      preventExtensions: () => false,
    });
  }
}
