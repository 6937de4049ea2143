/** Spans in other forms, to compare those that arrived with. */
import type { Attributes, HrTime, SpanContext } from "@opentelemetry/api";
import type { ReadableSpan } from "@opentelemetry/sdk-trace-node";
import type { CollectedSpan } from "./collector.js";
import { RESOURCE } from "./sdk.js";

/** A span of the SDK's as it must arrive. */
export function asCollected(span: ReadableSpan): CollectedSpan {
  const time = ([seconds, nanoseconds]: HrTime): bigint =>
    BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds);
  const identity = ({ traceId, spanId, traceFlags }: SpanContext, isRemote = false) => ({
    ...{ traceId, spanId, traceState: "" },
    flags: traceFlags | 0x100 | (isRemote ? 0x200 : 0),
  });
  const { parentSpanContext: parent } = span;
  return {
    ...identity(span.spanContext(), parent?.isRemote),
    parentSpanId: parent?.spanId ?? "",
    name: span.name,
    kind: span.kind + 1,
    start: time(span.startTime),
    end: time(span.endTime),
    attributes: values(span.attributes),
    events: span.events.map((event) => ({
      name: event.name,
      time: time(event.time),
      attributes: values(event.attributes),
    })),
    links: span.links.map((link) => ({
      ...identity(link.context, link.context.isRemote),
      attributes: values(link.attributes),
    })),
    status: { code: span.status.code, message: span.status.message ?? "" },
    dropped: 0,
    scope: {
      name: span.instrumentationScope.name,
      version: span.instrumentationScope.version ?? "",
    },
    resource: RESOURCE,
  };
}

/** Whole numbers are 64-bit integers in the protocol. */
function values(attributes: Attributes = {}): CollectedSpan["attributes"] {
  const all = Object.entries(attributes).map(([key, value]) => [
    key,
    Number.isInteger(value) ? BigInt(value as number) : value,
  ]);
  return Object.fromEntries(all);
}

/** Attributes that say where a span comes from; whatever else there is, is written by {@link tree}. */
const PLACE = /^(code|ampoule)\./;

/**
 * The spans below `parent` in the order in which they began, deeper ones indented: their own attributes,
 * links, status and events.
 */
export function tree(
  spans: readonly CollectedSpan[],
  parent: Pick<SpanContext, "traceId" | "spanId">,
  indent = "",
): string[] {
  const children = spans
    .filter((span) => span.traceId === parent.traceId && span.parentSpanId === parent.spanId)
    .sort((one, other) => (one.start < other.start ? -1 : 1));
  return children.flatMap((span) => {
    const { name, attributes, links, events, status } = span;
    const own = Object.entries(attributes).filter(([key]) => !PLACE.test(key));
    const linked = links.map(({ spanId }) => spans.find((other) => other.spanId === spanId)?.name);
    const parts = [
      name,
      ...own.map(([key, value]) => `${key}=${value}`),
      ...linked.map((other) => `linked to ${other}`),
      ...(status.code === 2 ? [`failed (${status.message})`] : []),
    ];
    const inside = events.map((event) => event.name).join(", ");
    const line = indent + parts.join(" ") + (inside === "" ? "" : `: ${inside}`);
    return [line, ...tree(spans, span, `${indent}  `)];
  });
}
