/** What a value is, in words. */
import { types } from "node:util";
import { cut } from "./text.js";

/** Beyond this a number has more digits than a message should. */
const BIG_MAX = 1n << 128n;

/**
 * Says what `value` is, for messages: its type, and the value when that is short. Runs no code of the
 * value's own that could fail.
 */
export function describe(value: unknown): string {
  switch (typeof value) {
    case "string":
      return `string (${JSON.stringify(cut(value, 40))})`;
    case "number":
      return `number (${Object.is(value, -0) ? "-0" : value})`;
    case "boolean":
      return `boolean (${value})`;
    case "bigint":
      return value < BIG_MAX && value > -BIG_MAX
        ? `bigint (${value}n)`
        : "bigint (of more than 128 bits)";
    case "object":
      return describeObject(value);
    default:
      return typeof value;
  }
}

function describeObject(value: object | null): string {
  if (value === null) return "null";
  if (isArray(value)) return "an array";
  if (types.isUint8Array(value)) return `${value.byteLength} bytes`;
  if (types.isPromise(value)) return "a promise, which was not awaited";
  const name = classOf(value);
  if (name === undefined || name === "Object") return "an object";
  return `${/^[AEIOU]/.test(name) ? "an" : "a"} ${name}`;
}

/** Whether `value` is an array; a proxy that was revoked cannot be asked. */
function isArray(value: object): boolean {
  try {
    return Array.isArray(value);
  } catch {
    return false;
  }
}

/** The name of an object's class; `undefined` if it has none, or hides it. */
export function classOf(value: object): string | undefined {
  try {
    // A getter, or a proxy's trap, is somebody's code.
    const prototype: unknown = Object.getPrototypeOf(value);
    if (typeof prototype !== "object" || prototype === null) return undefined;
    const maker = Object.getOwnPropertyDescriptor(prototype, "constructor")?.value as unknown;
    if (typeof maker !== "function") return undefined;
    const name = Object.getOwnPropertyDescriptor(maker, "name")?.value as unknown;
    return typeof name === "string" && /^[A-Za-z_$][\w$]*$/.test(name) ? cut(name) : undefined;
  } catch {
    return undefined;
  }
}
