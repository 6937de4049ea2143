/**
 * What is recorded of one call: its span, what the guest adds to that, and metrics. Much of what this
 * costs is code and memory that the processor has to fetch again behind each entry into a virtual
 * machine, so that the usual way through here is short and makes few objects.
 */
import type { CodeLocation } from "../../error-details.js";
import { GuestAbortError } from "../../errors.js";
import type { InContext } from "../context.js";
import type { Thrown } from "../failures.js";
import { isOurs } from "../foreign.js";
import { native } from "../native/native.js";
import { keepStaged } from "../native/staging.js";
import { Clock, later, secondsBetween } from "./clock.js";
import { numberOf } from "./directives.js";
import { fail, guarded, messageOf, typeOf } from "./failure.js";
import { type CallFailure, GuestSpans } from "./guest-spans.js";
import { recordsOf } from "./records.js";
import {
  type HrTime,
  type SpanHandle,
  type SpanIds,
  type SpanSource,
  traceparentOf,
} from "./spans.js";
import type { Subject } from "./subject.js";
import { warnOfFailure } from "./warnings.js";

/**
 * Records that are taken in at a time; the event loop turns before the next ones. Spans of the stock SDK
 * take some 3 us for each.
 */
const SLICE = 256;

/** Records that a call on this thread brings, behind which no event loop can turn. */
const SYNC_MAX = 32 * SLICE;

/** No directives: the guest is told of its context alone. */
const CONTEXT_ONLY = 0;

/** The recording of one call, from just before it begins until it has ended. Nothing here throws. */
export class CallTrace {
  readonly #subject: Subject;
  /** `null`: the guest is started. */
  readonly #function: string | null;
  /** Absent for a call whose caller is on the stack. */
  readonly #inContext: InContext | undefined;
  readonly #clock = new Clock();
  /** That of the call; of a start, the one around it. */
  #span: SpanHandle | undefined;
  /** There once the native side traces the call. */
  #guest: GuestSpans | undefined;
  /** Records that this thread may yet take in without a turn of the event loop. */
  #syncLeft = SYNC_MAX;
  /** Settles when what there is has been taken in. */
  #rest: Promise<void> | undefined;
  /** The host function that runs: its name, and since when, in milliseconds. */
  #host: { readonly name: string; readonly start: number } | undefined;

  constructor(subject: Subject, function_: string | null, inContext: InContext | undefined) {
    this.#subject = subject;
    this.#function = function_;
    this.#inContext = inContext;
  }

  /** Seconds since it began. */
  get seconds(): number {
    return secondsBetween(this.#clock.start, this.#clock.now());
  }

  /** Whether it has a place in a trace, recorded or not. */
  get hasPlace(): boolean {
    return this.#span !== undefined;
  }

  /**
   * Starts the span of the call, with a link to `origin`; `staged` bytes in the staging buffer survive
   * what the user's SDK does. Returns whether that records it.
   */
  start(source: SpanSource, origin: SpanIds | undefined, staged: number): boolean {
    const inContext = this.#inContext;
    const start = (): void => this.#start(source, origin);
    keepStaged(staged, inContext === undefined ? start : () => inContext(start));
    return this.#span?.isRecording === true;
  }

  #start(source: SpanSource, origin: SpanIds | undefined): void {
    const startTime = this.#clock.start;
    const attributes = {
      "code.function.name": this.#function ?? "",
      "ampoule.sandbox.name": this.#subject.name,
    };
    try {
      this.#span = source.start(
        `ampoule.call ${this.#function}`,
        origin === undefined
          ? { startTime, attributes }
          : { startTime, attributes, links: [origin] },
      );
    } catch (error) {
      warnOfFailure(error);
    }
  }

  /** Stands for what happens inside `span`, if that is there. */
  within(span: SpanHandle | undefined): void {
    this.#span = span;
  }

  /** Makes the guest trace, as `directives` say. The call must begin next. */
  arm(directives: string): void {
    if (!this.#tell(() => numberOf(directives))) return;
    const { callsites, onLog, name: sandbox } = this.#subject;
    const hostFunction = (number: number): string => this.#subject.hostFunction(number);
    const call = { function: this.#function, sandbox, onLog, span: this.#span, hostFunction };
    this.#guest = new GuestSpans(call, callsites, this.#clock.start);
  }

  /** Makes the guest know the context of the call, and trace nothing. The call must begin next. */
  hand(): void {
    this.#tell(() => CONTEXT_ONLY);
  }

  #tell(directives: () => number): boolean {
    const [seconds, nanoseconds] = this.#clock.offset;
    // What a guest learns while it starts, others find in its image.
    const span = this.#function === null ? undefined : this.#span;
    try {
      const traceparent = span === undefined ? "" : traceparentOf(span.ids);
      const { handle } = this.#subject;
      native().traceNext(handle, directives(), traceparent, seconds, nanoseconds);
      return true;
    } catch (error) {
      warnOfFailure(error);
      return false;
    }
  }

  /**
   * Takes in what the guest has recorded: a slice at once, and the others between turns of the event loop;
   * the promise that settles behind them, if there are any. A call on this thread cannot wait: what would be
   * too much is given up and counted. The step that has come must have been read, since code of the user's
   * runs here.
   */
  absorb(): Promise<void> | undefined {
    if (this.#guest === undefined) return undefined;
    if (this.#inContext === undefined) {
      this.#absorbHere();
      return undefined;
    }
    if (this.#rest !== undefined || !this.#takeSlice()) return this.#rest;
    this.#rest = new Promise((resolve) => {
      const goOn = (): void => {
        if (this.#takeSlice()) setImmediate(goOn);
        else {
          this.#rest = undefined;
          resolve();
        }
      };
      setImmediate(goOn);
    });
    return this.#rest;
  }

  #absorbHere(): void {
    let hasMore = true;
    for (; hasMore && this.#syncLeft > 0; this.#syncLeft -= SLICE) hasMore = this.#takeSlice();
    if (!hasMore) return;
    guarded(() => native().dropTrace(this.#subject.handle));
    // Callsites that later calls use, of which there is a limited number, and what was given up.
    while (this.#takeSlice());
  }

  /** Returns whether there is more. */
  #takeSlice(): boolean {
    const guest = this.#guest;
    if (guest === undefined) return false;
    try {
      const records = recordsOf(native().takeTrace(this.#subject.handle, SLICE));
      if (records.length === 0) return false;
      const absorb = (): boolean => guest.absorb(records);
      return this.#inContext === undefined ? absorb() : this.#inContext(absorb);
    } catch (error) {
      warnOfFailure(error);
      return false;
    }
  }

  /** Calls `body`, the host function that the guest waits for, inside its span. */
  inHost<T>(name: string, body: () => T): T {
    if (this.#subject.meter.isOn) this.#host = { name, start: performance.now() };
    // Below a call that is not recorded, in the place of that: what the function does is not, either.
    const span = this.#guest?.host ?? this.#span;
    if (span === undefined) return body();
    let entered = false;
    try {
      return span.run(() => {
        entered = true;
        return body();
      });
    } catch (error) {
      if (entered) throw error;
      warnOfFailure(error);
      return body();
    }
  }

  /** The host function that the guest waits for has failed. */
  failHost({ value, message }: Thrown): void {
    const type = typeOf(value);
    this.#guest?.failHost(type, message);
    this.endHost(type);
  }

  /** The host function has ended, by an error of that type if there is one. */
  endHost(error?: string): void {
    const host = this.#host;
    if (host === undefined) return;
    this.#host = undefined;
    this.#subject.meter.endHost(host.name, (performance.now() - host.start) / 1000, error);
  }

  /**
   * The call has ended, by `error` if there is one. A promise that settles when all is told, unless that is
   * so at once.
   */
  end(error: unknown): Promise<void> | undefined {
    // First, so that the call does not seem to take what telling of it takes.
    const now = this.#clock.now();
    const type = error === undefined ? undefined : typeOf(error);
    this.endHost(type);
    this.#guest?.endsBy(type === undefined ? undefined : failureOf(type, error));
    if (this.#function !== null) {
      this.#subject.meter.endCall(this.#function, secondsBetween(this.#clock.start, now), type);
    }
    const conclude = (): void => this.#conclude(now, type, error);
    const rest = this.absorb();
    if (rest !== undefined) return rest.then(conclude);
    conclude();
    return undefined;
  }

  #conclude(now: HrTime, type: string | undefined, error: unknown): void {
    const trouble = this.#guest?.trouble;
    if (trouble !== undefined) this.#subject.report(trouble);
    const span = this.#function === null ? this.#guest?.span : this.#span;
    if (span === undefined) return;
    if (this.#inContext === undefined) this.#end(span, now, type, error);
    else this.#inContext(() => this.#end(span, now, type, error));
  }

  #end(span: SpanHandle, now: HrTime, type: string | undefined, error: unknown): void {
    const last = this.#guest?.finish(now);
    if (type !== undefined) guarded(() => fail(span, type, messageOf(error)));
    try {
      // Processor time and the monotonic clock may be a little apart.
      span.end(last === undefined ? now : later(now, last));
    } catch (problem) {
      warnOfFailure(problem);
    }
  }
}

function failureOf(type: string, error: unknown): CallFailure {
  if (!isOurs(error) || !(error instanceof GuestAbortError)) return { type, panic: undefined };
  const stack = error.backtrace.map(lineOf).join("\n");
  return { type, panic: { message: error.guestMessage, stack } };
}

/** A place in a guest's program, as JavaScript's stack traces write one. */
function lineOf({ symbol, offset, address }: CodeLocation): string {
  return `    at ${symbol === null ? address : `${symbol}+${offset} (${address})`}`;
}
