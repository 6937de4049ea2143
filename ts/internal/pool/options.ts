/** The options of a pool that are not those of its sandboxes: defaults and checks. */
import { availableParallelism } from "node:os";
import type { PoolSettings, PoolSize } from "../../sandbox-options.js";
import { describeType, invalid, readOptions } from "../options/checks.js";
import { CREATE_KEYS, type Given } from "../options/derived.js";
import type { Bounds } from "./members.js";

/** The defaults of a pool's own options. */
export const POOL_DEFAULTS = Object.freeze({ min: 1, maxQueue: 1000, idleMs: 30_000 });

const SIZE_MAX = 100_000;

const OWN_KEYS = ["size", "maxQueue", "whenFull", "idleMs"] as const;

/** Takes the options apart: the pool's own, checked and complete, and those of its sandboxes. */
export function resolvePool(given: PoolSettings & Given): { bounds: Bounds; sandboxes: Given } {
  const options = readOptions<PoolSettings & Given>(given, "options", [
    ...OWN_KEYS,
    ...CREATE_KEYS,
  ]);
  const { size, maxQueue, whenFull, idleMs, ...sandboxes } = options;
  return { bounds: resolveBounds(options), sandboxes };
}

function resolveBounds(given: PoolSettings): Bounds {
  const { whenFull = "reject", idleMs = POOL_DEFAULTS.idleMs } = given;
  if (whenFull !== "wait" && whenFull !== "reject") {
    throw invalid("whenFull", `must be "wait" or "reject", got ${describeType(whenFull)}`);
  }
  if (whenFull === "wait" && given.maxQueue !== undefined) {
    throw invalid("maxQueue", 'has no meaning with whenFull "wait", which lets everybody wait');
  }
  if (typeof idleMs !== "number" || !(idleMs >= 0)) {
    throw invalid(
      "idleMs",
      `must be a non-negative number of milliseconds, got ${describeType(idleMs)}`,
    );
  }
  const queue = given.maxQueue ?? POOL_DEFAULTS.maxQueue;
  const maxQueue = whenFull === "wait" ? Number.POSITIVE_INFINITY : queue;
  if (maxQueue !== Number.POSITIVE_INFINITY) count(maxQueue, "maxQueue", 0, 2 ** 31);
  return { ...resolveSize(given.size ?? {}), maxQueue, idleMs };
}

function resolveSize(size: unknown): { min: number; max: number } {
  if (typeof size === "number") {
    const fixed = count(size, "size", 1, SIZE_MAX);
    return { min: fixed, max: fixed };
  }
  if (typeof size !== "object" || size === null) {
    throw invalid("size", `must be a number or { min, max }, got ${describeType(size)}`);
  }
  const given = readOptions<PoolSize>(size, "size", ["min", "max"]);
  const least = typeof given.min === "number" ? given.min : POOL_DEFAULTS.min;
  const few = Math.max(availableParallelism(), least);
  const max = count(given.max ?? few, "size.max", 1, SIZE_MAX);
  const min = count(given.min ?? Math.min(POOL_DEFAULTS.min, max), "size.min", 0, SIZE_MAX);
  if (min > max) throw invalid("size.min", `must be at most size.max, got ${min} and ${max}`);
  return { min, max };
}

function count(value: unknown, option: string, least: number, most: number): number {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) {
    return value as number;
  }
  const range = `an integer between ${least} and ${most}`;
  throw invalid(option, `must be ${range}, got ${describeType(value)}`);
}
