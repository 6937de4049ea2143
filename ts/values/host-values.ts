/**
 * What JavaScript values stand for. An object is a struct or a map when that is plain to see; anything
 * of which the contents are not its own properties is refused rather than sent empty.
 */
import { types } from "node:util";
import { Mismatch } from "./mismatch.js";
import { Kind } from "./shape.js";

/** How the named parts of an object are found. */
export type RecordForm = "plain" | "map" | "instance";

/** How the named parts of `value` are found; `undefined` if it has none that could be meant. */
export function recordForm(value: unknown): RecordForm | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return "plain";
  if (types.isMap(value)) return "map";
  if (isOpaque(value)) return undefined;
  const isBase = Object.getPrototypeOf(prototype) === null;
  return isBase && Object.hasOwn(prototype as object, "isPrototypeOf") ? "plain" : "instance";
}

/** Whether what matters of `value` is in none of its properties. */
function isOpaque(value: object): boolean {
  return (
    ArrayBuffer.isView(value) ||
    types.isAnyArrayBuffer(value) ||
    types.isBoxedPrimitive(value) ||
    types.isDate(value) ||
    types.isExternal(value) ||
    types.isGeneratorObject(value) ||
    types.isMapIterator(value) ||
    types.isPromise(value) ||
    types.isRegExp(value) ||
    types.isSet(value) ||
    types.isSetIterator(value) ||
    types.isWeakMap(value) ||
    types.isWeakSet(value)
  );
}

/** The kinds, as bits, of which `value` may be taken; 0 for what cannot be sent at all. */
export function kindsOfValue(value: unknown): number {
  switch (typeof value) {
    case "undefined":
      return Kind.null;
    case "boolean":
    case "number":
    case "bigint":
    case "string":
      return Kind[typeof value as "boolean" | "number" | "bigint" | "string"];
    case "object":
      if (value === null) return Kind.null;
      if (Array.isArray(value) || types.isSet(value)) return Kind.array;
      if (ArrayBuffer.isView(value)) return Kind.bytes | Kind.array;
      if (types.isAnyArrayBuffer(value)) return Kind.bytes;
      return recordForm(value) === undefined ? 0 : Kind.object;
    default:
      return 0;
  }
}

/** `value` as bytes without copying, if it is memory: a view or a buffer, shared ones too. */
export function bytesOf(value: unknown): Uint8Array | Mismatch | undefined {
  const isView = ArrayBuffer.isView(value);
  if (!isView && !types.isAnyArrayBuffer(value)) return undefined;
  try {
    // Memory that was transferred to another thread looks empty, and refuses to be viewed.
    return isView
      ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
      : new Uint8Array(value);
  } catch {
    return Mismatch.of("bytes", "a buffer that was transferred and is no longer there");
  }
}

/** `value` as a list, if it is one: an array, a set, or numbers in a typed array. */
export function listOf(value: unknown): ArrayLike<unknown> | undefined {
  if (Array.isArray(value)) return value;
  if (types.isSet(value)) return [...value];
  if (!ArrayBuffer.isView(value) || types.isDataView(value)) return undefined;
  return value as unknown as ArrayLike<unknown>;
}

/** The key of a map's entry as text, or what is wrong with it. */
export function keyOf(key: unknown): string | Mismatch {
  switch (typeof key) {
    case "string":
      return key;
    case "number":
    case "bigint":
    case "boolean":
      return String(key);
    default:
      return Mismatch.at("a Map whose keys are strings, numbers or booleans", key);
  }
}

/** Classes that derive from one another, beyond which nobody looks. */
const PROTOTYPES_MAX = 32;

/** What instances of a class have from its prototype and those above it, but for what all objects have. */
export function inheritedNames(prototype: object): Set<string> {
  const names = new Set<string>();
  let from: object | null = prototype;
  for (let level = 0; from !== null && level < PROTOTYPES_MAX; level++) {
    const above: object | null = Object.getPrototypeOf(from) as object | null;
    const isBase = above === null && Object.hasOwn(from, "isPrototypeOf");
    if (!isBase) for (const name of Object.getOwnPropertyNames(from)) names.add(name);
    from = above;
  }
  names.delete("constructor");
  return names;
}
