/** The spans of one call, put together from what the native side reports. */
import { type Callsite, callsiteOf, described, ownFields, shortened } from "./callsites.js";
import { later } from "./clock.js";
import { fail, guarded } from "./failure.js";
import { emit, type OnLog, report } from "./logs.js";
import {
  CallsiteKind,
  Ending,
  type EventRecord,
  type HostBeginRecord,
  type OpenRecord,
  type TraceRecord,
} from "./records.js";
import type { Attributes, HrTime, SpanHandle } from "./spans.js";
import { warnOfFailure, warnOnce } from "./warnings.js";

/** What the records are of. */
export interface RecordedCall {
  readonly function: string;
  readonly sandbox: string;
  readonly onLog: OnLog | undefined;
  /** The span of the call, if it is recorded. */
  readonly span: SpanHandle | undefined;
}

/** How often what was wrong with the trace data of a call. */
export type Trouble = Readonly<Record<string, number>>;

/** Spans of one call. */
export class GuestSpans {
  readonly #call: RecordedCall;
  /** Of the sandbox: a callsite is introduced once and used by later calls, too. */
  readonly #callsites: Map<number, Callsite>;
  /** Made for the first. */
  #open: Map<number, SpanHandle> | undefined;
  /** The span of the host function that the guest waits for. */
  #host: SpanHandle | undefined;
  /** The type of the error that the call has ended by. */
  #error: string | undefined;
  #last: HrTime;
  #trouble: Trouble | undefined;

  constructor(call: RecordedCall, callsites: Map<number, Callsite>, start: HrTime) {
    this.#call = call;
    this.#callsites = callsites;
    this.#last = start;
  }

  /** The span of the host function that the guest waits for, if it is recorded. */
  get host(): SpanHandle | undefined {
    return this.#host;
  }

  /** What was wrong with the records, once all are there. */
  get trouble(): Trouble | undefined {
    return this.#trouble;
  }

  /** The call has ended, by an error of that type if there is one; its last records are to come. */
  endsBy(error: string | undefined): void {
    this.#error = error;
  }

  /**
   * Takes in `records`. A last one that begins a host call is of the host function `hostFunction`.
   */
  absorb(records: readonly TraceRecord[], hostFunction: string): void {
    for (const record of records) {
      try {
        this.#take(record, hostFunction);
      } catch (error) {
        // What processors of the user's do with one span is no reason to lose the others.
        warnOfFailure(error);
      }
    }
  }

  #take(record: TraceRecord, hostFunction: string): void {
    switch (record[0]) {
      case 0:
        this.#callsites.set(record[1], callsiteOf(record, this.#call.sandbox));
        break;
      case 1:
        this.#begin(record);
        break;
      case 2: {
        const span = this.#open?.get(record[1]);
        const own = ownFields(record[2]);
        if (own !== undefined) span?.setAttributes(own);
        break;
      }
      case 3:
        this.#close(record[1], this.#at(record[2], record[3]), record[4]);
        break;
      case 4:
        this.#event(record);
        break;
      case 5:
        this.#beginHost(record, hostFunction);
        break;
      case 6:
        this.#endHost(this.#at(record[1], record[2]));
        break;
      case 7:
        this.#trouble = record[1];
        break;
    }
  }

  #begin([, span, parent, site, seconds, nanoseconds, fields]: OpenRecord): void {
    const callsite = this.#callsites.get(site);
    const around = this.#around(parent);
    const startTime = this.#at(seconds, nanoseconds);
    if (callsite === undefined || around === undefined) return;
    warnOfClock(fields);
    this.#open ??= new Map();
    const handle = around.child(callsite.name, { startTime, attributes: callsite.attributes });
    this.#open.set(span, handle);
    const own = ownFields(fields);
    if (own !== undefined) handle.setAttributes(own);
  }

  #close(number: number, time: HrTime, ending: number): void {
    const span = this.#open?.get(number);
    if (span === undefined) return;
    this.#open?.delete(number);
    if (ending === Ending.unclosed) span.setAttributes({ "ampoule.unclosed": true });
    else if (ending === Ending.stopped) {
      fail(span, this.#error ?? "_OTHER", "the guest was stopped");
    }
    span.end(time);
  }

  #event([, number, site, seconds, nanoseconds, given]: EventRecord): void {
    const callsite = this.#callsites.get(site);
    const time = this.#at(seconds, nanoseconds);
    if (callsite === undefined) return;
    warnOfClock(given);
    const { message: text = "", ...fields } = given;
    const message = String(text);
    const span = this.#around(number);
    const event = { callsite, time, message, fields, span };
    const { onLog, function: function_, sandbox } = this.#call;
    if (onLog !== undefined) report(onLog, event, function_, sandbox);
    if ((callsite.kind === CallsiteKind.log || span === undefined) && emit(event)) return;
    const name = shortened(message || callsite.name);
    // A message that was cut for the name is there in full, too.
    const all = name.length < message.length ? given : fields;
    span?.addEvent(name, described(all, callsite), time);
  }

  #beginHost([, number, seconds, nanoseconds]: HostBeginRecord, name: string): void {
    this.#host = this.#around(number)?.child(`ampoule.host ${name}`, {
      startTime: this.#at(seconds, nanoseconds),
      attributes: { "code.function.name": name, "ampoule.sandbox.name": this.#call.sandbox },
    });
  }

  #endHost(time: HrTime): void {
    const host = this.#host;
    this.#host = undefined;
    host?.end(time);
  }

  /** The host function that the guest waits for has failed. */
  failHost(type: string, message: string): void {
    const host = this.#host;
    if (host !== undefined) guarded(() => fail(host, type, message));
  }

  /** Ends what is open still, because of records that are missing. Returns the time of the latest. */
  finish(time: HrTime): HrTime {
    if (this.#host !== undefined) guarded(() => this.#endHost(time));
    const ending = this.#error === undefined ? Ending.unclosed : Ending.stopped;
    for (const number of [...(this.#open?.keys() ?? [])].reverse()) {
      guarded(() => this.#close(number, time, ending));
    }
    return this.#last;
  }

  /** The open span of that number; for 0, or a span of which nothing is known, that of the call. */
  #around(span: number): SpanHandle | undefined {
    return this.#open?.get(span) ?? this.#call.span;
  }

  #at(seconds: number, nanoseconds: number): HrTime {
    const time: HrTime = [seconds, nanoseconds];
    this.#last = later(time, this.#last);
    return time;
  }
}

function warnOfClock(fields: Attributes): void {
  if (fields["ampoule.clock"] !== "approximate") return;
  warnOnce(
    "AMPOULE_TRACE_CLOCK",
    "this processor has no invariant time stamp counter: times of guests' spans are approximate",
  );
}
