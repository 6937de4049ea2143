/** Warnings about telemetry: it never fails a call, so this is how anybody hears of its troubles. */
import { native } from "../native/native.js";
import type { Attributes } from "./spans.js";

/** What is warned of, with documentation in `docs/tracing.md`. */
export type TelemetryWarning =
  | "AMPOULE_OPENTELEMETRY_MISSING"
  | "AMPOULE_OPENTELEMETRY_VERSION"
  | "AMPOULE_OPENTELEMETRY_FAILED"
  | "AMPOULE_TRACE_DATA"
  | "AMPOULE_TRACE_CLOCK"
  | "AMPOULE_ON_LOG";

/** What was warned of, with whom it was about. */
const given = new Set<string>();
/** Sandboxes that are warned about by name. A guest can cause such a warning, and must not hide the next one's. */
const NAMES_MAX = 16;

/** Warns of `code`, once in this thread; of sandboxes once for each name, up to a number. */
export function warnOnce(code: TelemetryWarning, message: string, sandbox = ""): void {
  const key = `${code} ${sandbox}`;
  if (given.has(key) || (sandbox !== "" && given.size >= NAMES_MAX)) return;
  given.add(key);
  process.emitWarning(message, { type: "AmpouleWarning", code });
}

/** Says that something of the user's telemetry threw, which is nothing to its call. */
export function warnOfFailure(error: unknown): void {
  const message = error instanceof Error ? error.message : "something that is no error";
  warnOnce(
    "AMPOULE_OPENTELEMETRY_FAILED",
    `what OpenTelemetry is told of sandboxes is incomplete: ${message}`,
  );
}

/** Whether the processor's counter is known not to be to blame, or was warned of. */
let clockIsSettled = false;

/** Warns if times with `fields` are approximate because of the processor; a guest can only lie about its own. */
export function warnOfClock(fields: Attributes): void {
  if (clockIsSettled || fields["ampoule.clock"] === undefined) return;
  clockIsSettled = true;
  if (native().clockIsInvariant()) return;
  warnOnce(
    "AMPOULE_TRACE_CLOCK",
    "this processor has no invariant time stamp counter: times of guests' spans are approximate",
  );
}
