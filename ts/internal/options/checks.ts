/**
 * Checking what users give. Their objects are read once, and only here: a getter that throws, a proxy
 * that is revoked, or a value that changes between two looks is an invalid option and nothing worse.
 */
import { AmpouleError } from "../../errors.js";
import { describe } from "../../values/describe.js";
import { isOurs, peek } from "../foreign.js";

/** The error for an option that is not valid. */
export function invalid(option: string, problem: string, cause?: unknown): AmpouleError {
  return new AmpouleError("ERR_AMPOULE_INVALID_ARGUMENT", `option ${option} ${problem}`, {
    ...(cause === undefined ? {} : { cause }),
    details: { option },
  });
}

/** Says what `value` is, for messages: its type, and the value when that is short. */
export function describeType(value: unknown): string {
  return describe(value);
}

/** Whether `value` is an array, also where that cannot be asked. */
export function isArray(value: unknown): value is readonly unknown[] {
  try {
    return Array.isArray(value);
  } catch {
    return false;
  }
}

/** What `read` returns. What it throws, other than errors of ours, is the fault of `option`. */
export function reading<T>(option: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw isOurs(cause) ? cause : invalid(option, "cannot be read", cause);
  }
}

/** A copy of an options object, which may have the `known` keys and no others. */
export function readOptions<T extends object>(
  value: T | undefined,
  where: string,
  known: readonly (keyof T & string)[],
): T {
  if (typeof value !== "object" || value === null || isArray(value)) {
    throw invalid(where, `must be an object, got ${describeType(value)}`);
  }
  return reading(where, () => {
    for (const key of Object.keys(value)) {
      if (known.includes(key as keyof T & string)) continue;
      throw invalid(
        where === "object" ? key : `${where}.${key}`,
        `is not known; known are ${known.join(", ")}`,
      );
    }
    const copy = {} as T;
    for (const key of known) {
      const given = value[key];
      if (given !== undefined) copy[key] = given;
    }
    return copy;
  });
}

/** The names and values of a table of the user's. */
export function readEntries(value: unknown, option: string): [string, unknown][] {
  if (typeof value !== "object" || value === null || isArray(value)) {
    throw invalid(option, `must be an object, got ${describeType(value)}`);
  }
  return reading(option, () => Object.entries(value));
}

/** The items of an array of the user's. */
export function readItems(value: unknown, option: string): unknown[] {
  if (!isArray(value)) throw invalid(option, `must be an array, got ${describeType(value)}`);
  return reading(option, () => Array.from(value));
}

/** Checks that `signal` is an `AbortSignal`, from whatever realm. */
export function checkSignal(signal: unknown): asserts signal is AbortSignal | undefined {
  if (signal === undefined) return;
  if (
    typeof peek(signal, "aborted") === "boolean" &&
    typeof peek(signal, "addEventListener") === "function" &&
    typeof peek(signal, "removeEventListener") === "function"
  ) {
    return;
  }
  throw invalid("signal", `must be an AbortSignal, got ${describeType(signal)}`);
}

/** Checks what names a sandbox or a snapshot in the whole process. */
export function checkId(id: unknown, of: string): asserts id is number {
  if (typeof id === "number" && Number.isSafeInteger(id) && id >= 1) return;
  throw invalid("id", `must be the id of a ${of}, got ${describeType(id)}`);
}

/** Whether `value` is a URL. */
export function isUrl(value: unknown): value is URL {
  try {
    return value instanceof URL;
  } catch {
    return false;
  }
}

/** Refuses a constructor that is called by hand. */
export function refuseConstruction(key: unknown, own: symbol, what: string, how: string): void {
  if (key === own) return;
  throw new AmpouleError("ERR_AMPOULE_INVALID_ARGUMENT", `a ${what} is made by ${how}`, {
    details: { option: "new" },
  });
}
