/** Printing, and failing. */
import type { ErrorCode } from "../error-codes.js";
import type { ErrorDetails } from "../error-details.js";
import { AmpouleError } from "../errors.js";
import { toJson } from "../values/json.js";
import { harmless } from "./terminal.js";

/** Prints a line of text, or everything as JSON. */
export function print(text: string): void {
  process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
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
  if (error instanceof AmpouleError) {
    return { code: error.code, message: error.message, details: error.details };
  }
  return { code: null, message: error instanceof Error ? error.message : String(error) };
}

/** Says on stderr what went wrong: as JSON if that was asked for. */
export function printError(error: unknown, json: boolean): void {
  const known = error instanceof AmpouleError;
  if (json) {
    process.stderr.write(`${toJson({ error: plainError(error) })}\n`);
    return;
  }
  if (!known) {
    process.stderr.write(`ampoule: ${error instanceof Error ? error.message : String(error)}\n`);
    return;
  }
  process.stderr.write(`ampoule: ${harmless(error.message)} [${error.code}]\n`);
  if (error.cause instanceof Error && error.cause.message !== error.message) {
    process.stderr.write(`  caused by: ${harmless(error.cause.message)}\n`);
  }
}
