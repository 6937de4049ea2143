/** The spans of one call, put together from what the native side reports. */
import { type Callsite, callsiteOf, described, guestName, isEmpty } from "./callsites.js";
import { later } from "./clock.js";
import { fail, guarded } from "./failure.js";
import { emit, type OnLog, report } from "./logs.js";
import {
  CallsiteKind,
  Ending,
  type EventRecord,
  type HostBeginRecord,
  type HostEndRecord,
  type OpenRecord,
  type Otel,
  REMEMBERED,
  type TraceRecord,
} from "./records.js";
import type { Attributes, HrTime, SpanHandle } from "./spans.js";
import { nameOf, reasonOf } from "./texts.js";
import { warnOfClock, warnOfFailure } from "./warnings.js";

/** What the records are of. */
export interface RecordedCall {
  /** The function that is called; `null`: the guest is started. */
  readonly function: string | null;
  readonly sandbox: string;
  readonly onLog: OnLog | undefined;
  /** The span of the call, also if nobody records it; of a start, the span around it. */
  readonly span: SpanHandle | undefined;
  /** The name of a host function, by its number. */
  hostFunction(number: number): string;
}

/** How often what was wrong with the trace data of a call. */
export type Trouble = Readonly<Record<string, number>>;

/** How a call has failed. */
export interface CallFailure {
  readonly type: string;
  /** What the guest has panicked with, if that is it, and where. */
  readonly panic: { readonly message: string; readonly stack: string } | undefined;
}

/** Nanoseconds of waiting for a processor from which on it is worth a word: a millisecond. */
const WAIT_MIN = 1e6;

/** Spans of one call. */
export class GuestSpans {
  readonly #call: RecordedCall;
  /** Of the sandbox: a callsite is introduced once and used by later calls, too. */
  readonly #callsites: Map<number, Callsite>;
  /** The span that is around all others, if it is recorded. */
  #span: SpanHandle | undefined;
  /** Made for the first. */
  #open: Map<number, SpanHandle> | undefined;
  /** Those that have said that they went well. */
  #succeeded: Set<number> | undefined;
  /** The last spans, each at its number from that of the first on, by {@link REMEMBERED}. */
  readonly #recent: SpanHandle[] = [];
  #first = 0;
  /** The span of the host function that the guest waits for. */
  #host: SpanHandle | undefined;
  /** How the call has ended, if it has failed. */
  #failure: CallFailure | undefined;
  #last: HrTime;
  #trouble: Trouble | undefined;

  constructor(call: RecordedCall, callsites: Map<number, Callsite>, start: HrTime) {
    this.#call = call;
    this.#callsites = callsites;
    this.#last = start;
    // What nobody records needs no spans in it: they would only be asked for.
    if (call.function !== null && call.span?.isRecording) this.#span = call.span;
  }

  /** The span of the host function that the guest waits for, if it is recorded. */
  get host(): SpanHandle | undefined {
    return this.#host;
  }

  /** The span around all others, if it is recorded. */
  get span(): SpanHandle | undefined {
    return this.#span;
  }

  /** What was wrong with the records, once all are there. */
  get trouble(): Trouble | undefined {
    return this.#trouble;
  }

  /** The call has ended, by a failure if there is one; its last records are to come. */
  endsBy(failure: CallFailure | undefined): void {
    this.#failure = failure;
  }

  /** Takes in `records`. Returns whether there are more. */
  absorb(records: readonly TraceRecord[]): boolean {
    for (const record of records) {
      if (record[0] === 10) return true;
      try {
        this.#take(record);
      } catch (error) {
        // What processors of the user's do with one span is no reason to lose the others.
        warnOfFailure(error);
      }
    }
    return false;
  }

  #take(record: TraceRecord): void {
    switch (record[0]) {
      case 0:
        this.#callsites.set(record[1], callsiteOf(record, this.#call.sandbox));
        break;
      case 1:
        this.#begin(record);
        break;
      case 2: {
        const span = this.#open?.get(record[1]);
        if (span === undefined) break;
        if (!isEmpty(record[2])) span.setAttributes(record[2]);
        if (record[3] !== undefined) this.#describe(record[1], span, record[3]);
        break;
      }
      case 3:
        this.#close(record[1], this.#at(record[2], record[3]), record[4]);
        break;
      case 4:
        this.#event(record);
        break;
      case 5:
        this.#beginHost(record);
        break;
      case 6:
        this.#endHost(record);
        break;
      case 7:
        this.#trouble = record[1];
        break;
      case 8:
        this.#link(record[1], record[2]);
        break;
      case 9:
        this.#start(this.#at(record[1], record[2]));
        break;
    }
  }

  #begin([, number, parent, site, seconds, nanoseconds, fields, otel]: OpenRecord): void {
    const callsite = this.#callsites.get(site);
    const around = this.#around(parent);
    const startTime = this.#at(seconds, nanoseconds);
    if (callsite === undefined || around === undefined) return;
    warnOfClock(fields);
    const { name, attributes } = callsite;
    const kind = otel?.[0] ?? null;
    const options = kind === null ? { startTime, attributes } : { startTime, attributes, kind };
    const span = around.child(name, options);
    this.#open ??= new Map();
    this.#open.set(number, span);
    if (this.#recent.length === 0) this.#first = number;
    this.#recent[(number - this.#first) % REMEMBERED] = span;
    if (!isEmpty(fields)) span.setAttributes(fields);
    if (otel !== undefined) this.#describe(number, span, otel);
  }

  /** Does what fields say of the span itself. */
  #describe(number: number, span: SpanHandle, [, name, isOk, message]: Otel): void {
    if (name !== null) span.rename(guestName(name));
    if (isOk === true) {
      // Nothing changes that any more: not before it has ended well.
      this.#succeeded ??= new Set();
      this.#succeeded.add(number);
    } else if (isOk === false || message !== null) {
      this.#succeeded?.delete(number);
      span.fail(reasonOf(message ?? ""));
    }
  }

  #close(number: number, time: HrTime, ending: number): void {
    const span = this.#open?.get(number);
    if (span === undefined) return;
    this.#open?.delete(number);
    const hasSucceeded = this.#succeeded?.delete(number);
    if (ending === Ending.unclosed) span.setAttributes({ "ampoule.unclosed": true });
    else if (ending === Ending.stopped) fail(span, this.#failureType, "the guest was stopped");
    else if (ending === Ending.panicked) fail(span, "panic", "the guest panicked");
    else if (hasSucceeded) span.succeed();
    span.end(time);
  }

  get #failureType(): string {
    return this.#failure?.type ?? "_OTHER";
  }

  #event([, number, site, seconds, nanoseconds, given]: EventRecord): void {
    const callsite = this.#callsites.get(site);
    const time = this.#at(seconds, nanoseconds);
    if (callsite === undefined) return;
    warnOfClock(given);
    const { message: text = "", ...others } = given;
    const message = String(text);
    const fields = callsite.isPanic ? { ...this.#exception(message), ...others } : others;
    const span = this.#around(number) ?? this.#call.span;
    const event = { callsite, time, message, fields, span };
    const { onLog, function: function_, sandbox } = this.#call;
    if (onLog !== undefined) report(onLog, event, function_, sandbox);
    // As Rust's bridge to OpenTelemetry does. How the call itself went, its end says.
    if (callsite.level === "error") this.#open?.get(number)?.fail("");
    if ((callsite.kind === CallsiteKind.log || span === undefined) && emit(event)) return;
    if (span === undefined) return;
    if (callsite.isPanic) {
      span.addEvent("exception", described(fields, callsite), time);
      return;
    }
    const name = nameOf(message || callsite.name);
    // A message that the name does not say as it is, is there in full, too.
    const all = message === "" || name === message ? fields : given;
    span.addEvent(name, described(all, callsite), time);
  }

  /** What OpenTelemetry's conventions say of a panic with `message`. */
  #exception(message: string): Attributes {
    const panic = this.#failure?.panic;
    return {
      "exception.type": "panic",
      "exception.message": message,
      // Where it was, the host knows of the one that has ended the guest.
      ...(panic?.message === message ? { "exception.stacktrace": panic.stack } : {}),
    };
  }

  #beginHost([, number, function_, seconds, nanoseconds]: HostBeginRecord): void {
    const name = this.#call.hostFunction(function_);
    this.#host = this.#around(number)?.child(`ampoule.host ${name}`, {
      startTime: this.#at(seconds, nanoseconds),
      attributes: { "code.function.name": name, "ampoule.sandbox.name": this.#call.sandbox },
    });
  }

  #endHost([, stopped, seconds, nanoseconds, waited]: HostEndRecord): void {
    const time = this.#at(seconds, nanoseconds);
    const host = this.#host;
    this.#host = undefined;
    if (host === undefined) return;
    if (waited >= WAIT_MIN) host.setAttributes({ "ampoule.host.wait": waited / 1e9 });
    if (stopped !== 0) fail(host, this.#failureType, "the call was stopped");
    host.end(time);
  }

  /** The host function that the guest waits for has failed. */
  failHost(type: string, message: string): void {
    const host = this.#host;
    if (host !== undefined) guarded(() => fail(host, type, message));
  }

  #link(number: number, to: number): void {
    const other = this.#open?.get(to) ?? this.#recent[(to - this.#first) % REMEMBERED];
    if (other !== undefined) this.#open?.get(number)?.addLink(other.ids);
  }

  #start(startTime: HrTime): void {
    const around = this.#call.span;
    if (!around?.isRecording) return;
    const attributes = { "ampoule.sandbox.name": this.#call.sandbox };
    this.#span = around.child("ampoule.start", { startTime, attributes });
  }

  /** Ends what is open still, because of records that are missing. Returns the time of the latest. */
  finish(time: HrTime): HrTime {
    const [seconds, nanoseconds] = time;
    const ending = this.#failure === undefined ? Ending.unclosed : Ending.stopped;
    guarded(() => this.#endHost([6, ending === Ending.stopped ? 1 : 0, seconds, nanoseconds, 0]));
    for (const number of [...(this.#open?.keys() ?? [])].reverse()) {
      guarded(() => this.#close(number, time, ending));
    }
    return this.#last;
  }

  /** The open span of that number; for 0, or a span of which nothing is known, that of the call. */
  #around(span: number): SpanHandle | undefined {
    return this.#open?.get(span) ?? this.#span;
  }

  #at(seconds: number, nanoseconds: number): HrTime {
    const time: HrTime = [seconds, nanoseconds];
    this.#last = later(time, this.#last);
    return time;
  }
}
