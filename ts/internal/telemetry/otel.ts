/** Spans for the OpenTelemetry SDK that the user has registered. */
import type * as Api from "@opentelemetry/api";
import {
  instrumentationScope,
  openTelemetry,
  registeredTracing,
  SCHEMA_URL,
  warnIfRefused,
} from "./api.js";
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
import { fitted, lengthLimitOf } from "./texts.js";

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
        warnIfRefused(registered, api.trace.getTracerProvider());
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
    const provider = api.trace.getTracerProvider();
    this.#tracer = provider.getTracer(name, version, { schemaUrl: SCHEMA_URL });
    // The key of `suppressTracing` in @opentelemetry/core; equal descriptions give equal keys.
    this.#suppressed = api.createContextKey("OpenTelemetry SDK Context Key SUPPRESS_TRACING");
  }

  start(name: string, options: SpanOptions): SpanHandle | undefined {
    const context = this.#api.context.active();
    if (context.getValue(this.#suppressed) === true) return undefined;
    const span = this.#tracer.startSpan(name, spanOptions(options, options.attributes), context);
    return new OtelSpan(this.#api, this.#tracer, span, context, undefined);
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
  /** Where the SDK cuts values; the same for all spans of a call. */
  readonly #lengthMax: number;

  constructor(
    api: typeof Api,
    tracer: Api.Tracer,
    span: Api.Span,
    around: Api.Context,
    lengthMax: number | undefined,
  ) {
    this.#api = api;
    this.#tracer = tracer;
    this.#span = span;
    this.#around = around;
    // The SDK tells nobody, but for this field of its own; without it, nothing is done about its cuts.
    this.#lengthMax = lengthMax ?? lengthLimitOf((span as { _spanLimits?: unknown })._spanLimits);
  }

  get #context(): Api.Context {
    this.#inside ??= this.#api.trace.setSpan(this.#around, this.#span);
    return this.#inside;
  }

  get ids(): SpanIds {
    return this.#span.spanContext();
  }

  get isRecording(): boolean {
    return this.#span.isRecording();
  }

  child(name: string, options: SpanOptions): SpanHandle {
    const context = this.#context;
    const attributes = this.#fitted(options.attributes);
    const span = this.#tracer.startSpan(name, spanOptions(options, attributes), context);
    return new OtelSpan(this.#api, this.#tracer, span, context, this.#lengthMax);
  }

  addEvent(name: string, attributes: Attributes, time: HrTime): void {
    this.#span.addEvent(name, this.#fitted(attributes), time);
  }

  setAttributes(attributes: Attributes): void {
    this.#span.setAttributes(this.#fitted(attributes));
  }

  #fitted(attributes: Attributes): Attributes {
    return this.#lengthMax === Number.POSITIVE_INFINITY
      ? attributes
      : fitted(attributes, this.#lengthMax);
  }

  addLink(to: SpanIds): void {
    // Version 1.9 of the API has it, and so have the SDKs that go with that.
    if (typeof this.#span.addLink !== "function") {
      throw new Error("links of spans that have begun need version 1.9 of @opentelemetry/api");
    }
    this.#span.addLink({ context: to });
  }

  rename(name: string): void {
    this.#span.updateName(name);
  }

  fail(message: string): void {
    const { ERROR } = this.#api.SpanStatusCode;
    this.#span.setStatus(message === "" ? { code: ERROR } : { code: ERROR, message });
  }

  succeed(): void {
    this.#span.setStatus({ code: this.#api.SpanStatusCode.OK });
  }

  end(time: HrTime): void {
    this.#span.end(time);
  }

  run<T>(body: () => T): T {
    return this.#api.context.with(this.#context, body);
  }
}

function spanOptions(
  { startTime, links, kind }: SpanOptions,
  attributes: Attributes,
): Api.SpanOptions {
  const always = kind === undefined ? { startTime, attributes } : { startTime, attributes, kind };
  if (links === undefined) return always;
  return { ...always, links: links.map((context) => ({ context })) };
}
