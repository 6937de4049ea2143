/** The OpenTelemetry SDK, as a user sets it up, and what it has collected. */
import { afterEach, expect } from "@jest/globals";
import { context, metrics, propagation, type Tracer, trace } from "@opentelemetry/api";
import { logs } from "@opentelemetry/api-logs";
import {
  AlwaysOnSampler,
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  type Sampler,
  SimpleSpanProcessor,
  type SpanProcessor,
} from "@opentelemetry/sdk-trace-node";

/** The tracer of the user's own code. One that was asked for before stays with the SDK of that time. */
function tracer(): Tracer {
  return trace.getTracer("user");
}

afterEach(() => {
  trace.disable();
  context.disable();
  propagation.disable();
  metrics.disable();
  logs.disable();
});

/** Registers an SDK for spans until the end of the test, and gives what collects them. */
export function collectSpans(
  options: { sampler?: Sampler; processors?: readonly SpanProcessor[] } = {},
): InMemorySpanExporter {
  const exporter = new InMemorySpanExporter();
  new NodeTracerProvider({
    sampler: options.sampler ?? new AlwaysOnSampler(),
    spanProcessors: [...(options.processors ?? []), new SimpleSpanProcessor(exporter)],
  }).register();
  return exporter;
}

/** Does `work` in a span `name` of the user's, and gives that span. */
export async function inSpan(
  name: string,
  work: () => unknown,
): Promise<{ traceId: string; spanId: string }> {
  return tracer().startActiveSpan(name, async (span) => {
    try {
      await work();
      return span.spanContext();
    } finally {
      span.end();
    }
  });
}

/** Makes a span `name` of the user's, below the active one, that is over at once. */
export function leaveSpan(name: string): void {
  tracer().startSpan(name).end();
}

/** A collected span and those below it. */
export interface Node {
  readonly span: ReadableSpan;
  readonly name: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly children: readonly Node[];
}

/** The spans as trees, in the order of their starts. Whose parent was not collected is a root. */
export function trees(exporter: InMemorySpanExporter): readonly Node[] {
  const spans = [...exporter.getFinishedSpans()].sort((one, other) =>
    Number(startOf(one) - startOf(other)),
  );
  const known = new Set(spans.map((span) => span.spanContext().spanId));
  const below = (parent: string | undefined): Node[] =>
    spans
      .filter(({ parentSpanContext: of }) =>
        parent === undefined ? !known.has(of?.spanId ?? "") : of?.spanId === parent,
      )
      .map((span) => {
        const { name, attributes } = span;
        return { span, name, attributes, children: below(span.spanContext().spanId) };
      });
  return below(undefined);
}

/** The spans of each trace. */
export function byTrace(spans: readonly ReadableSpan[]): Map<string, ReadableSpan[]> {
  const traces = new Map<string, ReadableSpan[]>();
  for (const span of spans) {
    const { traceId } = span.spanContext();
    traces.set(traceId, [...(traces.get(traceId) ?? []), span]);
  }
  return traces;
}

/** The names in a tree, each with those below it, as `name [child, child [grandchild]]`. */
export function outline(nodes: readonly Node[]): string {
  return nodes
    .map(({ name, children }) => (children.length > 0 ? `${name} [${outline(children)}]` : name))
    .join(", ");
}

/** All nodes of trees, from the outside in. */
export function flat(nodes: readonly Node[]): readonly Node[] {
  return nodes.flatMap((node) => [node, ...flat(node.children)]);
}

/** The only span of that name. */
export function only(exporter: InMemorySpanExporter, name: string): Node {
  const found = flat(trees(exporter)).filter((node) => node.name === name);
  expect(found.map((node) => node.name)).toEqual([name]);
  return found[0] as Node;
}

/** Nanoseconds since the epoch. */
export const startOf = ({ startTime }: ReadableSpan): bigint => nanoseconds(startTime);
export const endOf = ({ endTime }: ReadableSpan): bigint => nanoseconds(endTime);

export function nanoseconds([seconds, rest]: readonly [number, number]): bigint {
  return BigInt(seconds) * 1_000_000_000n + BigInt(rest);
}

/** Checks that Ampoule's and guests' spans lie within those around them, and end behind their start. */
export function expectNested(exporter: InMemorySpanExporter): void {
  const spans = exporter.getFinishedSpans();
  const byId = new Map(spans.map((span) => [span.spanContext().spanId, span]));
  const wrong = spans.filter((span) => {
    if (endOf(span) < startOf(span)) return true;
    const around = byId.get(span.parentSpanContext?.spanId ?? "");
    // The SDK itself takes the starts of other spans from a clock of milliseconds.
    const ours = [span, around].every((each) => each?.instrumentationScope.name === "ampoule");
    if (around === undefined || !ours) return false;
    return startOf(span) < startOf(around) || endOf(span) > endOf(around);
  });
  expect(wrong.map(({ name, startTime, endTime }) => [name, startTime, endTime])).toEqual([]);
}
