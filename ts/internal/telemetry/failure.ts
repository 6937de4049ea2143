/** How failures are told: of what spans stand for, and of the SDK that collects them. */
import { isOurs, peek } from "../foreign.js";
import type { SpanHandle } from "./spans.js";
import { nameOf, reasonOf } from "./texts.js";
import { warnOfFailure } from "./warnings.js";

/** Marks what `span` stands for as failed, by an error of that type. */
export function fail(span: SpanHandle, type: string, message: string): void {
  span.setAttributes({ "error.type": type });
  span.fail(reasonOf(message));
}

/** The value of the attribute `error.type` for `error`: its code if it has one, else its name. */
export function typeOf(error: unknown): string {
  if (isOurs(error)) return error.code;
  return nameOf(ownText(error, "code") ?? ownText(error, "name") ?? "_OTHER");
}

/** What `error` says. */
export function messageOf(error: unknown): string {
  return ownText(error, "message") ?? "";
}

/** A property of whatever was thrown. */
function ownText(error: unknown, property: "code" | "name" | "message"): string | undefined {
  const value = peek(error, property);
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** Does `work` of the user's SDK, whose failures are no failures of calls. */
export function guarded(work: () => void): void {
  try {
    work();
  } catch (error) {
    warnOfFailure(error);
  }
}
