/** Spans for the OpenTelemetry SDK that the user has registered. */
import type * as Api from "@opentelemetry/api";
import { instrumentationScope, openTelemetry, registeredTracing } from "./api.js";
import { guarded } from "./failure.js";
import {
  type Attributes,
  type HrTime,
  type SpanHandle,
  type SpanIds,
  type SpanOptions,
  type SpanSource,
  usedSpanSource,
} from "./spans.js";

let registration: object | undefined;
let source: SpanSource | undefined;

/** Who collects this thread's spans; `undefined`: nobody. */
export function spanSource(): SpanSource | undefined {
  const used = usedSpanSource();
  if (used !== undefined) return used;
  const registered = registeredTracing();
  // A tracer stays with the provider that it came from.
  if (registered !== registration) {
    registration = registered;
    source = undefined;
    const api = registered === undefined ? undefined : openTelemetry();
    if (api !== undefined) {
      guarded(() => {
        source = new OtelSource(api);
      });
    }
  }
  return source;
}

class OtelSource implements SpanSource {
  readonly #api: typeof Api;
  readonly #tracer: Api.Tracer;
  readonly #suppressed: symbol;

  constructor(api: typeof Api) {
    const { name, version } = instrumentationScope();
    this.#api = api;
    this.#tracer = api.trace.getTracer(name, version);
    // The key of `suppressTracing` in @opentelemetry/core; equal descriptions give equal keys.
    this.#suppressed = api.createContextKey("OpenTelemetry SDK Context Key SUPPRESS_TRACING");
  }

  start(name: string, options: SpanOptions): SpanHandle | undefined {
    const context = this.#api.context.active();
    if (context.getValue(this.#suppressed) === true) return undefined;
    const span = this.#tracer.startSpan(name, spanOptions(options), context);
    return span.isRecording() ? new OtelSpan(this.#api, this.#tracer, span, context) : undefined;
  }
}

class OtelSpan implements SpanHandle {
  readonly #api: typeof Api;
  readonly #tracer: Api.Tracer;
  readonly #span: Api.Span;
  /** The context around the span: what else is in there holds for its children, too. */
  readonly #around: Api.Context;
  /** Made for spans that something happens in. */
  #inside: Api.Context | undefined;

  constructor(api: typeof Api, tracer: Api.Tracer, span: Api.Span, around: Api.Context) {
    this.#api = api;
    this.#tracer = tracer;
    this.#span = span;
    this.#around = around;
  }

  get #context(): Api.Context {
    this.#inside ??= this.#api.trace.setSpan(this.#around, this.#span);
    return this.#inside;
  }

  get ids(): SpanIds {
    return this.#span.spanContext();
  }

  child(name: string, options: SpanOptions): SpanHandle {
    const context = this.#context;
    const span = this.#tracer.startSpan(name, spanOptions(options), context);
    return new OtelSpan(this.#api, this.#tracer, span, context);
  }

  addEvent(name: string, attributes: Attributes, time: HrTime): void {
    this.#span.addEvent(name, attributes, time);
  }

  setAttributes(attributes: Attributes): void {
    this.#span.setAttributes(attributes);
  }

  fail(message: string): void {
    this.#span.setStatus({ code: this.#api.SpanStatusCode.ERROR, message });
  }

  end(time: HrTime): void {
    this.#span.end(time);
  }

  run<T>(body: () => T): T {
    return this.#api.context.with(this.#context, body);
  }
}

function spanOptions({ startTime, attributes, links }: SpanOptions): Api.SpanOptions {
  if (links === undefined) return { startTime, attributes };
  return { startTime, attributes, links: links.map((context) => ({ context })) };
}
