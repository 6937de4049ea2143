/** A trace as JSON, named as in OTLP's own JSON: times are nanoseconds since 1970, as strings, to be exact. */
import type { RecordedSpan } from "./recording.js";

/** The spans as plain values for JSON, in the order of their starts. */
export function plainSpans(spans: readonly RecordedSpan[]): object[] {
  return spans.map((span) => ({
    traceId: span.ids.traceId,
    spanId: span.ids.spanId,
    parentSpanId: span.parentSpanId,
    name: span.name,
    startTimeUnixNano: String(span.start),
    endTimeUnixNano: String(span.end),
    durationNs: Number(span.end - span.start),
    status: span.failure === null ? { code: "unset" } : { code: "error", message: span.failure },
    attributes: span.attributes,
    events: span.events.map(({ name, time, attributes }) => ({
      name,
      timeUnixNano: String(time),
      attributes,
    })),
    links: span.links.map(({ traceId, spanId }) => ({ traceId, spanId })),
  }));
}
