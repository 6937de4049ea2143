/** Collects the spans of a call, as an OpenTelemetry SDK would that samples everything. */
import { AsyncLocalStorage } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import type {
  Attributes,
  HrTime,
  SpanHandle,
  SpanIds,
  SpanOptions,
  SpanSource,
} from "../../internal/telemetry/spans.js";
import { compare, type RecordedEvent, type RecordedSpan } from "./recording.js";

const SAMPLED = 1;

/** Records every span that is started, until somebody takes {@link spans}. */
export class Recorder implements SpanSource {
  readonly #active = new AsyncLocalStorage<OpenSpan>();
  readonly #spans: OpenSpan[] = [];
  readonly #remote: SpanIds | null;

  /** @param remote - the span of another process that the trace goes on from */
  constructor(remote: SpanIds | null = null) {
    this.#remote = remote;
  }

  start(name: string, options: SpanOptions): SpanHandle {
    return this.#start(name, options, this.#active.getStore());
  }

  /** What was recorded, in the order of its starts; a span that has not ended yet ends with the last event. */
  get spans(): RecordedSpan[] {
    return this.#spans.map((span) => span.recorded());
  }

  #start(name: string, options: SpanOptions, parent: OpenSpan | undefined): OpenSpan {
    const isRoot = parent === undefined;
    const around = isRoot ? this.#remote : parent.ids;
    const span: OpenSpan = new OpenSpan(
      name,
      options,
      { ids: around, isRoot },
      {
        start: (childName, childOptions) => this.#start(childName, childOptions, span),
        run: (body) => this.#active.run(span, body),
      },
    );
    this.#spans.push(span);
    return span;
  }
}

/** What a span asks of the recorder. */
interface Owner {
  start(name: string, options: SpanOptions): SpanHandle;
  run<T>(body: () => T): T;
}

class OpenSpan implements SpanHandle {
  readonly ids: SpanIds;
  readonly isRecording = true;
  #name: string;
  readonly #options: SpanOptions;
  readonly #parentSpanId: string | null;
  readonly #isRoot: boolean;
  readonly #links: SpanIds[];
  readonly #owner: Owner;
  readonly #events: RecordedEvent[] = [];
  #attributes: Attributes;
  #failure: string | null = null;
  #end: bigint | undefined;

  constructor(
    name: string,
    options: SpanOptions,
    { ids: parent, isRoot }: { readonly ids: SpanIds | null; readonly isRoot: boolean },
    owner: Owner,
  ) {
    this.ids = {
      traceId: parent?.traceId ?? randomId(16),
      spanId: randomId(8),
      traceFlags: SAMPLED,
    };
    this.#name = name;
    this.#options = options;
    this.#parentSpanId = parent?.spanId ?? null;
    this.#isRoot = isRoot;
    this.#links = [...(options.links ?? [])];
    this.#owner = owner;
    this.#attributes = options.attributes;
  }

  child(name: string, options: SpanOptions): SpanHandle {
    return this.#owner.start(name, options);
  }

  addEvent(name: string, attributes: Attributes, time: HrTime): void {
    this.#events.push({ name, time: nanoseconds(time), attributes });
  }

  setAttributes(attributes: Attributes): void {
    this.#attributes = { ...this.#attributes, ...attributes };
  }

  addLink(to: SpanIds): void {
    this.#links.push(to);
  }

  rename(name: string): void {
    this.#name = name;
  }

  fail(message: string): void {
    this.#failure = message;
  }

  succeed(): void {
    this.#failure = null;
  }

  end(time: HrTime): void {
    this.#end ??= nanoseconds(time);
  }

  run<T>(body: () => T): T {
    return this.#owner.run(body);
  }

  recorded(): RecordedSpan {
    const start = nanoseconds(this.#options.startTime);
    // The span of what was given up before it ended.
    const end = this.#end ?? this.#events.at(-1)?.time ?? start;
    return {
      ids: this.ids,
      parentSpanId: this.#parentSpanId,
      isRoot: this.#isRoot,
      kind: this.#options.kind ?? 0,
      name: this.#name,
      start,
      end: compare(end, start) < 0 ? start : end,
      attributes: this.#attributes,
      events: this.#events,
      links: this.#links,
      failure: this.#failure,
    };
  }
}

/** A number that is not all zeros, as the W3C trace context demands. */
function randomId(bytes: number): string {
  const id = randomBytes(bytes).toString("hex");
  return /[^0]/.test(id) ? id : randomId(bytes);
}

const NANOSECONDS = 1_000_000_000n;

function nanoseconds([seconds, rest]: HrTime): bigint {
  return BigInt(seconds) * NANOSECONDS + BigInt(rest);
}
