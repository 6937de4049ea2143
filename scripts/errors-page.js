/** Writes docs/errors.md from the table of codes (in dist/), or checks it with --check. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ROOT } from "./process.js";

const PAGE = join(ROOT, "docs/errors.md");
const SANDBOX = {
  none: "none was made",
  ready: "stays ready",
  poisoned: "poisoned",
  closed: "closed",
  unchanged: "as before",
};

/** The page's text for a table of codes. */
export function errorsPage(codes) {
  const entries = Object.entries(codes).map(([code, { summary, cause, remedy, sandbox }]) =>
    [
      `## \`${code}\``,
      "",
      `${summary[0].toUpperCase()}${summary.slice(1)}.`,
      "",
      `- **Cause:** ${cause}`,
      `- **Remedy:** ${remedy}`,
      `- **Sandbox:** ${SANDBOX[sandbox]}`,
    ].join("\n"),
  );
  return `${[
    "<!-- Generated from ts/error-codes.ts by `npm run docs:errors`. Do not edit. -->",
    "# Errors",
    [
      "Everything Ampoule throws or rejects with is an `AmpouleError` with a stable `code`. Compare",
      "codes, not messages. `error.details` holds facts as plain data, `error.cause` what lies behind",
      "it. Subclasses add typed properties: `GuestError` (`kind`, `data`), `GuestAbortError`",
      "(`location`, `backtrace`), `GuestFaultError` (`fault`), `GuestExitedError` (`exitCode`,",
      "`signal`) and `LimitError` (`limit`, `option`).",
    ].join("\n"),
    [
      "`isAmpouleError(error)` tells them from others without ever throwing, and lets `switch (error.code)`",
      "narrow `error` to its class and the type of its `details`; `isAmpouleError(error, code, ...)` asks for",
      "some codes. `JSON.stringify(error)` has name, code, message and details. A structured clone, as",
      "`postMessage` makes, keeps only the message of any error: send `error.toJSON()` and make an error of it",
      "by `errorFromJson` on the other side.",
    ].join("\n"),
    ...entries,
  ].join("\n\n")}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { ERROR_CODES } = await import("../dist/error-codes.js");
  const text = errorsPage(ERROR_CODES);
  if (!process.argv.includes("--check")) writeFileSync(PAGE, text);
  else if (!existsSync(PAGE) || readFileSync(PAGE, "utf8") !== text) {
    console.error("docs/errors.md is not what ts/error-codes.ts says: run `npm run docs:errors`");
    process.exitCode = 1;
  }
}
