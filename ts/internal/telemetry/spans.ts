/**
 * What telemetry needs of whoever collects spans. `otel.ts` hands them to the user's OpenTelemetry
 * SDK; the command line collects them itself, by {@link useSpanSource}.
 *
 * Implementations may throw, since they run code of the user's: their callers catch.
 */

/** A time since the Unix epoch, as OpenTelemetry has it. Nobody changes one. */
export type HrTime = [seconds: number, nanoseconds: number];

/** What a span, an event or a log record is described with. A guest can choose any keys. */
export type Attributes = Readonly<Record<string, string | number | boolean>>;

/** Names a span anywhere, as the W3C trace context does. */
export interface SpanIds {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  readonly traceFlags: number;
}

/** How a span starts. */
export interface SpanOptions {
  readonly startTime: HrTime;
  readonly attributes: Attributes;
  /** Spans that this one has to do with and that are not its parents. */
  readonly links?: readonly SpanIds[];
  /** By the numbers of OpenTelemetry's API. @defaultValue 0, an internal one */
  readonly kind?: number;
}

/** Whoever collects spans. */
export interface SpanSource {
  /**
   * Starts a span below the one that is active here, or a root; one that nobody records still stands
   * for its place in a trace. `undefined`: nobody is to know of it.
   */
  start(name: string, options: SpanOptions): SpanHandle | undefined;
}

/** A span that has started. */
export interface SpanHandle {
  readonly ids: SpanIds;
  /** Whether anybody records it. */
  readonly isRecording: boolean;
  /** Starts a span below this one; without effect if nobody records it. */
  child(name: string, options: SpanOptions): SpanHandle;
  addEvent(name: string, attributes: Attributes, time: HrTime): void;
  /** Adds attributes; those that are there already get the new value. */
  setAttributes(attributes: Attributes): void;
  /** The span has to do with another one that is not its parent. */
  addLink(to: SpanIds): void;
  rename(name: string): void;
  /** Marks what the span stands for as failed; the message may be empty. */
  fail(message: string): void;
  /** Marks it as having gone well, for good. */
  succeed(): void;
  /** Ends the span. Nothing else is done with it then, but {@link ids} stays valid. */
  end(time: HrTime): void;
  /** Calls `body` with this span as the active one, also for what it leaves behind. */
  run<T>(body: () => T): T;
}

let used: SpanSource | undefined;

/** From now on `source` collects this thread's spans instead of the OpenTelemetry SDK. */
export function useSpanSource(source: SpanSource | undefined): void {
  used = source;
}

/** What {@link useSpanSource} was given last. */
export function usedSpanSource(): SpanSource | undefined {
  return used;
}

/** The W3C form of `ids`. */
export function traceparentOf({ traceId, spanId, traceFlags }: SpanIds): string {
  // The flags that there are take one digit.
  const flags = traceFlags < 16 ? `0${traceFlags.toString(16)}` : traceFlags.toString(16);
  return `00-${traceId}-${spanId}-${flags}`;
}
