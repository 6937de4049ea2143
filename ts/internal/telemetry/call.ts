/**
 * What is recorded of one call: its span, what the guest adds to that, and metrics. Much of what this
 * costs is code and memory that the processor has to fetch again behind each entry into a virtual
 * machine, so that the usual way through here is short and makes few objects.
 */
import type { InContext } from "../context.js";
import type { Thrown } from "../failures.js";
import { native } from "../native.js";
import { keepStaged } from "../staging.js";
import { Clock, later, secondsBetween } from "./clock.js";
import { numberOf } from "./directives.js";
import { fail, guarded, messageOf, typeOf } from "./failure.js";
import { GuestSpans } from "./guest-spans.js";
import { recordsOf } from "./records.js";
import type { Subject } from "./sandbox.js";
import {
  type HrTime,
  type SpanHandle,
  type SpanIds,
  type SpanSource,
  traceparentOf,
} from "./spans.js";
import { warnOfFailure } from "./warnings.js";

/** The recording of one call, from just before it begins until it has ended. Nothing here throws. */
export class CallTrace {
  readonly #subject: Subject;
  readonly #function: string;
  /** Absent for a call whose caller is on the stack. */
  readonly #inContext: InContext | undefined;
  readonly #clock = new Clock();
  #span: SpanHandle | undefined;
  /** There once the native side traces the call. */
  #guest: GuestSpans | undefined;

  constructor(subject: Subject, function_: string, inContext: InContext | undefined) {
    this.#subject = subject;
    this.#function = function_;
    this.#inContext = inContext;
  }

  /**
   * Starts the span of the call, with a link to `origin`; `staged` bytes in the staging buffer survive
   * what the user's SDK does. Returns whether that records it.
   */
  start(source: SpanSource, origin: SpanIds | undefined, staged: number): boolean {
    const inContext = this.#inContext;
    const start = (): void => this.#start(source, origin);
    keepStaged(staged, inContext === undefined ? start : () => inContext(start));
    return this.#span !== undefined;
  }

  #start(source: SpanSource, origin: SpanIds | undefined): void {
    const startTime = this.#clock.start;
    const attributes = {
      "code.function.name": this.#function,
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

  /** Makes the guest trace, as `directives` say. The call must begin next. */
  arm(directives: string): void {
    const { handle, callsites, onLog } = this.#subject;
    const [seconds, nanoseconds] = this.#clock.offset;
    const span = this.#span;
    try {
      const traceparent = span === undefined ? "" : traceparentOf(span.ids);
      native().traceNext(handle, numberOf(directives), traceparent, seconds, nanoseconds);
    } catch (error) {
      warnOfFailure(error);
      return;
    }
    const call = { function: this.#function, sandbox: this.#subject.name, onLog, span };
    this.#guest = new GuestSpans(call, callsites, this.#clock.start);
  }

  /**
   * Takes in what the guest has recorded. The step that has come must have been read, since code of
   * the user's runs here. `hostFunction` is the one that the guest waits for, if it does.
   */
  absorb(hostFunction = "unknown"): void {
    const guest = this.#guest;
    if (guest === undefined) return;
    try {
      const records = recordsOf(native().takeTrace(this.#subject.handle));
      if (records.length === 0) return;
      const absorb = (): void => guest.absorb(records, hostFunction);
      if (this.#inContext === undefined) absorb();
      else this.#inContext(absorb);
    } catch (error) {
      warnOfFailure(error);
    }
  }

  /** Calls `body`, the host function that the guest waits for, inside its span. */
  inHost<T>(body: () => T): T {
    const span = this.#guest?.host;
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
    this.#guest?.failHost(typeOf(value), message);
  }

  /** The call has ended, by `error` if there is one. */
  end(error: unknown): void {
    // First, so that the call does not seem to take what telling of it takes.
    const now = this.#clock.now();
    const type = error === undefined ? undefined : typeOf(error);
    this.#guest?.endsBy(type);
    this.absorb();
    const trouble = this.#guest?.trouble;
    if (trouble !== undefined) this.#subject.report(trouble);
    const span = this.#span;
    if (span !== undefined) {
      if (this.#inContext === undefined) this.#end(span, now, type, error);
      else this.#inContext(() => this.#end(span, now, type, error));
    }
    const seconds = secondsBetween(this.#clock.start, now);
    this.#subject.meter.endCall(this.#function, seconds, type);
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
