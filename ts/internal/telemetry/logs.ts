/** Where a guest's events and log records go, beside into its spans. */
import type { Logger } from "@opentelemetry/api-logs";
import type { GuestLog } from "../../guest-log.js";
import { describeType, invalid } from "../options/checks.js";
import { isThenable } from "../thenable.js";
import { instrumentationScope, openTelemetryLogs, registeredLogging, SCHEMA_URL } from "./api.js";
import { type Callsite, described } from "./callsites.js";
import { messageOf } from "./failure.js";
import type { Attributes, HrTime, SpanHandle, SpanIds } from "./spans.js";
import { fitted, lengthLimitOf } from "./texts.js";
import { warnOnce } from "./warnings.js";

/** An event or log record. */
export interface Event {
  readonly callsite: Callsite;
  readonly time: HrTime;
  readonly message: string;
  readonly fields: Attributes;
  /** The span around it, also if nobody records it. */
  readonly span: SpanHandle | undefined;
}

/** The user's function for events. */
export type OnLog = (record: GuestLog) => void;

/** Checks the option `onLog`. */
export function resolveOnLog(given: unknown): OnLog | undefined {
  if (given === undefined || typeof given === "function") return given as OnLog | undefined;
  throw invalid("onLog", `must be a function, got ${describeType(given)}`);
}

/** Hands `event`, which a call of `function_` in `sandbox` has brought, to the user. */
export function report(
  onLog: OnLog,
  event: Event,
  function_: string | null,
  sandbox: string,
): void {
  const { callsite, time, message, fields, span } = event;
  const { level, target, name, file, line } = callsite;
  const timeNs = BigInt(time[0]) * 1_000_000_000n + BigInt(time[1]);
  const place = { name, file, line, function: function_, sandbox };
  try {
    const ids = span?.isRecording ? shown(span.ids) : null;
    const record = { timeNs, level, target, message, fields, ...place, span: ids };
    const deliver = (): unknown => onLog(record);
    // A logger of the user's then finds the guest's span as the active one.
    const result = span === undefined ? deliver() : span.run(deliver);
    if (isThenable(result)) result.then(undefined, warnOfOnLog);
  } catch (error) {
    warnOfOnLog(error);
  }
}

function shown({ traceId, spanId }: SpanIds): { traceId: string; spanId: string } {
  return { traceId, spanId };
}

function warnOfOnLog(error: unknown): void {
  warnOnce("AMPOULE_ON_LOG", `the function onLog of a sandbox failed: ${messageOf(error)}`);
}

/** `SeverityNumber` of the OpenTelemetry logs API. */
const SEVERITY = { trace: 1, debug: 5, info: 9, warn: 13, error: 17 } as const;

let registration: object | undefined;
let logger: Logger | undefined;
/** Where the SDK cuts values. */
let lengthMax = Number.POSITIVE_INFINITY;

/** Hands `event` to the OpenTelemetry logs API; `false` if nothing is registered with that. */
export function emit(event: Event): boolean {
  const registered = registeredLogging();
  if (registered !== registration) {
    registration = registered;
    logger = undefined;
    const { name, version } = instrumentationScope();
    if (registered !== undefined) {
      const options = { schemaUrl: SCHEMA_URL };
      logger = openTelemetryLogs()?.logs.getLogger(name, version, options);
      // As that of spans: a field of the SDK's own.
      const shared = (logger as { _sharedState?: { logRecordLimits?: unknown } } | undefined)
        ?._sharedState;
      lengthMax = lengthLimitOf(shared?.logRecordLimits);
    }
  }
  const to = logger;
  if (to === undefined) return false;
  const { callsite, time, message, fields, span } = event;
  const record = {
    timestamp: time,
    severityNumber: SEVERITY[callsite.level],
    severityText: callsite.level.toUpperCase(),
    body: message,
    attributes: fitted(described(fields, callsite), lengthMax),
  };
  if (span === undefined) to.emit(record);
  else span.run(() => to.emit(record));
  return true;
}
