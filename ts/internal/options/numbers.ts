/** Checks of options that are numbers: sizes, counts, milliseconds. */
import type { TimeLimits } from "../../options.js";
import { formatSize, parseSize } from "../../sizes.js";
import { describeType, invalid } from "./checks.js";

/** {@link TimeLimits} with nothing left open. */
export interface Times {
  readonly timeoutMs: number;
  readonly cpuTimeMs: number;
}

/** Checks the two time limits of `given`, taking what is absent from `defaults`. */
export function resolveTimes(given: TimeLimits, defaults: Times, where: string): Times {
  const { timeoutMs = defaults.timeoutMs, cpuTimeMs = defaults.cpuTimeMs } = given;
  return {
    timeoutMs: milliseconds(timeoutMs, `${where}timeoutMs`),
    cpuTimeMs: milliseconds(cpuTimeMs, `${where}cpuTimeMs`),
  };
}

/** A time above 0, or infinity for no limit. */
export function milliseconds(value: unknown, option: string): number {
  // `>` is false for NaN, and for what is no number at all.
  if (typeof value === "number" && value > 0) return value;
  throw invalid(option, `must be a positive number of milliseconds, got ${describeType(value)}`);
}

function unbounded(value: unknown): boolean {
  return value === Number.POSITIVE_INFINITY;
}

/** A size, or infinity for no limit. */
export function sizeOrNone(value: unknown, option: string): number {
  return unbounded(value) ? Number.POSITIVE_INFINITY : size(value, option, 0, Infinity);
}

/** A size within bounds, in bytes. */
export function size(value: unknown, option: string, minimum: number, maximum: number): number {
  const bytes = parseSize(value);
  if (typeof bytes === "string") throw invalid(option, bytes);
  if (bytes < minimum || bytes > maximum) {
    const range = `between ${formatSize(minimum)} and ${formatSize(maximum)}`;
    throw invalid(option, `must be ${range}, got ${JSON.stringify(value)}`);
  }
  return bytes;
}

/** A number of times, or infinity for no limit. */
export function countOrNone(value: unknown, option: string): number {
  if (
    typeof value !== "number" ||
    !(unbounded(value) || (Number.isSafeInteger(value) && value >= 0))
  ) {
    throw invalid(option, `must be a non-negative integer or Infinity, got ${describeType(value)}`);
  }
  return value;
}

/** An integer within bounds. */
export function integer(value: unknown, option: string, minimum: number, maximum: number): number {
  if (Number.isInteger(value) && (value as number) >= minimum && (value as number) <= maximum) {
    return value as number;
  }
  const range = `an integer between ${minimum} and ${maximum}`;
  throw invalid(option, `must be ${range}, got ${describeType(value)}`);
}
