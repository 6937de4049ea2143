/** What of a guest's spans and events is recorded: the options `trace`, checked. */

import { native } from "../native/native.js";
import { describeType, invalid } from "../options/checks.js";

/** Directives in the form that the native side takes, or that nothing is traced. */
export type Directives = string | false;

const LEVELS = ["off", "error", "warn", "info", "debug", "trace"];
/** The room that a guest has for them. */
const MAX_BYTES = 2048;

/** What is traced where the option `trace` is absent. */
export const DEFAULT_DIRECTIVES = "info";

/** Checks the option `option`. */
export function resolveTrace(given: unknown, option: string): Directives {
  if (given === false) return given;
  if (typeof given !== "string") {
    throw invalid(option, `must be directives as a string, or false, got ${describeType(given)}`);
  }
  const directives = given
    .split(",")
    .map((part) => directive(part.trim(), option))
    .join(",");
  const bytes = Buffer.byteLength(directives);
  if (bytes > MAX_BYTES) {
    throw invalid(option, `must take at most ${MAX_BYTES} bytes, got ${bytes}`);
  }
  return directives;
}

function directive(part: string, option: string): string {
  const at = part.lastIndexOf("=");
  const [target, level] = [part.slice(0, Math.max(at, 0)).trimEnd(), part.slice(at + 1).trim()];
  const known = level.toLowerCase();
  const shown = JSON.stringify(part);
  if (!LEVELS.includes(known)) {
    const hint = part === "" ? 'write "off" or false for nothing' : `got ${shown}`;
    const list = LEVELS.join(", ");
    throw invalid(option, `must be a list of LEVEL or TARGET=LEVEL, levels are ${list}; ${hint}`);
  }
  if (at < 0) return known;
  if (/^[^\s=\0]+$/.test(target)) return `${target}=${known}`;
  throw invalid(option, `must name a target before the "=" of ${shown}`);
}

/** Numbers by directives. */
const numbers = new Map<string, number>();
/** Different directives that are remembered; the native side knows the others again. */
const NUMBERS_MAX = 256;

/** The number by which the native side knows `directives`. */
export function numberOf(directives: string): number {
  const known = numbers.get(directives);
  if (known !== undefined) return known;
  const number = native().traceDirectives(directives);
  if (numbers.size >= NUMBERS_MAX) numbers.clear();
  numbers.set(directives, number);
  return number;
}
