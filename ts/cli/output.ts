/** Printing, and failing. */
import type { ErrorCode } from "../error-codes.js";
import type { ErrorDetails } from "../error-details.js";
import { isOurs, messageOf, peek } from "../internal/foreign.js";
import { toJson } from "../values/json.js";
import { harmless } from "./terminal.js";

/** Prints text that may be styled: what a guest has a part in is harmless already. */
export function print(text: string): void {
  process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
}

/** Prints text in which a guest, or a store, may have a part. */
export function printText(text: string): void {
  print(harmless(text));
}

/** Prints a value as JSON. */
export function printJson(value: unknown): void {
  print(toJson(value));
}

/** What JSON says of an error. */
export interface PlainError {
  readonly code: ErrorCode | null;
  readonly message: string;
  readonly details?: ErrorDetails;
}

/** An error as plain values. */
export function plainError(error: unknown): PlainError {
  const message = worded(messageOf(error) || "something that is no error was thrown");
  if (!isOurs(error)) return { code: null, message };
  return { code: error.code, message, details: error.toJSON().details };
}

/** What options of the API are called on the command line. */
const FLAGS: Readonly<Record<string, string>> = {
  timeoutMs: "--timeout",
  cpuTimeMs: "--cpu-time",
  memory: "--memory",
};

/** A message of the API in the words of the command line. */
function worded(message: string): string {
  return message
    .replace(/^option guest /, "the file ")
    .replace(/^option files\[("[^"]*")\] /, "the file for $1 (--file) ")
    .replace(/^option env\[("[^"]*")\] /, "the variable $1 (--env) ")
    .replace(/^option limits\.(timeoutMs|cpuTimeMs) /, (_, name: string) => `${FLAGS[name]} `)
    .replace(/^option (memory|name|metadata|tag) /, "--$1 ")
    .replace(/^option (?=[-<])/, "")
    .replaceAll(/`(timeoutMs|cpuTimeMs|memory)`/g, (_, name: string) => `\`${FLAGS[name]}\``);
}

/** Says on stderr what went wrong: as JSON if that was asked for. */
export function printError(error: unknown, json: boolean): void {
  const { code, message } = plainError(error);
  if (json) {
    process.stderr.write(`${toJson({ error: plainError(error) })}\n`);
    return;
  }
  const cause = messageOf(peek(error, "cause"));
  process.stderr.write(`ampoule: ${harmless(message)}${code === null ? "" : ` [${code}]`}\n`);
  if (code !== null && cause !== "" && cause !== "undefined" && !message.includes(cause)) {
    process.stderr.write(`  caused by: ${harmless(cause)}\n`);
  }
}
