/** Printing, and failing. */
import { AmpouleError } from "../errors.js";
import { toJson } from "../values/json.js";

/** Prints a line of text, or everything as JSON. */
export function print(text: string): void {
  process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
}

/** Prints a value as JSON. */
export function printJson(value: unknown): void {
  print(toJson(value));
}

/** Text of a guest's, without what a terminal would take for commands. */
function harmless(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is to be replaced
  return text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "\ufffd");
}

/** Says on stderr what went wrong: as JSON if that was asked for. */
export function printError(error: unknown, json: boolean): void {
  const known = error instanceof AmpouleError;
  if (json) {
    const { message } = error as Error;
    const plain = known
      ? { code: error.code, message, details: error.details }
      : { code: null, message };
    process.stderr.write(`${toJson({ error: plain })}\n`);
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
