/**
 * Tables of guest functions: `sandbox.call` and its like. A guest chooses the names in them, so that a
 * name must mean nothing but itself: not to `await`, `JSON.stringify`, `String` and `console.log`, nor
 * to test tools, all of which look for methods of certain names on whatever they are given.
 */
import { inspect } from "node:util";
import { AmpouleError } from "../../errors.js";
import { describeType, invalid } from "../options/checks.js";
import type { Export } from "./exports.js";

export type Function_ = (...args: unknown[]) => unknown;
export type Table = Readonly<Record<string, Function_>>;

/** Makes the function of a table that calls `each`. */
export type Bind = (each: Export) => Function_;

/** How a function that cannot be called says so: by throwing, or by a promise. */
export type Fail = (error: AmpouleError) => unknown;

export const throws: Fail = (error) => {
  throw error;
};
export const rejects: Fail = (error) => Promise.reject(error);

/**
 * Names that are called by whoever finds them, with arguments that a guest's function may take as well:
 * those of every object, and what JSON, BSON and test tools look for. They stand in no table, also where
 * a guest exports them; `invoke` calls those.
 */
const CALLED_BY_OTHERS: ReadonlySet<string> = new Set([
  ...Object.getOwnPropertyNames(Object.prototype),
  ..."toJSON toBSON asymmetricMatch hasAttribute inspect".split(" "),
]);

/** Names that say something about an object if they are there, beside those of the language's classes. */
const LOOKED_FOR =
  "nodeType tagName prototype default sample calls _isMockFunction $$typeof __esModule " +
  "@@__IMMUTABLE_ITERABLE__@@ @@__IMMUTABLE_RECORD__@@ on once emit pipe read write getReader getWriter";
let probes: ReadonlySet<string> | undefined;

/** Whether `name` may be looked for on any object, not as a function of a guest. */
function isProbe(name: string): boolean {
  const classes = [Function, Array, Promise, Map, Error, URL, EventTarget, AbortSignal];
  probes ??= new Set([
    ...CALLED_BY_OTHERS,
    ...LOOKED_FOR.split(" "),
    ...classes.flatMap((each) => Object.getOwnPropertyNames(each.prototype)),
  ]);
  return probes.has(name);
}

/** Names that a message lists. */
const LISTED_MAX = 100;

function unknownFunction(exports: readonly Export[], name: string): AmpouleError {
  const names = exports.map((each) => each.name);
  const more = names.length > LISTED_MAX ? ` and ${names.length - LISTED_MAX} more` : "";
  const list = names.length === 0 ? "no functions" : names.slice(0, LISTED_MAX).join(", ") + more;
  return new AmpouleError(
    "ERR_AMPOULE_UNKNOWN_FUNCTION",
    `the guest exports no function ${JSON.stringify(name)}; it exports ${list}`,
    { details: { function: name, exports: names } },
  );
}

/** The export of that name, whatever the name means elsewhere. */
export function findExport(exports: readonly Export[], name: unknown): Export {
  if (typeof name !== "string") {
    throw invalid("name", `must be a string, got ${describeType(name)}`);
  }
  const found = exports.find((each) => each.name === name);
  if (found === undefined) throw unknownFunction(exports, name);
  return found;
}

/** What a table inherits from: it says what the table is, and explains names that are not there. */
export function prototypeOf(exports: readonly Export[], fail: Fail): object {
  const shown = (): string =>
    `[functions of a guest: ${exports.map((each) => each.name).join(", ") || "none"}]`;
  // Node.js looks for a `toString` up to the end of the prototypes, and fails there.
  const target = Object.create(null, { toString: { value: shown } }) as object;
  return new Proxy(target, {
    get(_target, name) {
      if (name === inspect.custom || name === Symbol.toPrimitive || name === "toString")
        return shown;
      if (typeof name === "symbol" || isProbe(name)) return undefined;
      return () => fail(unknownFunction(exports, name));
    },
  });
}

/** Whether `each` stands in tables. */
export function isListed({ name }: Export): boolean {
  return !CALLED_BY_OTHERS.has(name);
}

/** The function that `bound` is, as it stands in the table that `table` gives, at every look. */
export function lookUp(each: Export, bound: Function_, table: () => object): () => unknown {
  return each.name === "then" ? awaitable(bound, table) : () => bound;
}

/**
 * A guest's function of the name `then`, in a table that can be awaited all the same: what gives it a
 * function first, as no caller of a guest does, is a promise that wants to know what the table becomes.
 * It becomes itself. The promise looks for `then` once more at that, and must not find it.
 */
function awaitable(bound: Function_, table: () => object): () => unknown {
  let isAsked = false;
  const then = (...args: unknown[]): unknown => {
    const [resolve] = args;
    if (typeof resolve !== "function") return bound(...args);
    isAsked = true;
    try {
      resolve(table());
    } finally {
      isAsked = false;
    }
    return undefined;
  };
  return () => (isAsked ? undefined : then);
}

/** A frozen table with what `bind` makes of each export. */
export function makeTable(exports: readonly Export[], fail: Fail, bind: Bind): Table {
  const table = Object.create(prototypeOf(exports, fail)) as Table;
  for (const each of exports.filter(isListed)) {
    const bound = bind(each);
    const look = lookUp(each, bound, () => table);
    Object.defineProperty(
      table,
      each.name,
      each.name === "then" ? { get: look, enumerable: true } : { value: bound, enumerable: true },
    );
  }
  return Object.freeze(table);
}
