/** What of a sandbox is recorded, and for whom. */
import type { InContext } from "../context.js";
import { wellFormed } from "../text.js";
import { registeredLogging, registeredMetrics, registeredTracing } from "./api.js";
import { CallTrace } from "./call.js";
import type { Callsite } from "./callsites.js";
import type { Directives } from "./directives.js";
import type { Trouble } from "./guest-spans.js";
import type { OnLog } from "./logs.js";
import { Meter } from "./metrics.js";
import { originOf } from "./origins.js";
import { spanSource } from "./otel.js";
import { type SpanHandle, type SpanIds, usedSpanSource } from "./spans.js";
import type { Recorded, Subject } from "./subject.js";
import { warnOfFailure, warnOnce } from "./warnings.js";

/** The options of a sandbox for this, checked. */
export interface TelemetrySettings {
  readonly directives: Directives;
  readonly onLog: OnLog | undefined;
  /** The span that made what the sandbox begins as, if that is a snapshot. */
  readonly origin: SpanIds | undefined;
}

/** Settings where there are no options for them. */
export const UNTRACED: TelemetrySettings = {
  directives: false,
  onLog: undefined,
  origin: undefined,
};

/** Records one sandbox. */
export class SandboxTelemetry implements Subject {
  readonly handle: number;
  readonly name: string;
  readonly directives: Directives;
  readonly onLog: OnLog | undefined;
  readonly callsites = new Map<number, Callsite>();
  readonly meter: Meter;
  readonly #restoresAfterCalls: boolean;
  readonly #hostFunctions: () => readonly { readonly name: string }[];
  /** The span that made what a restore goes back to by default. */
  #origin: SpanIds | undefined;
  /** The same of what the sandbox has just gone back to, or begun as, if it was not called since. */
  #fresh: SpanIds | undefined;

  constructor(
    handle: number,
    name: string,
    settings: TelemetrySettings,
    restoresAfterCalls: boolean,
    hostFunctions: () => readonly { readonly name: string }[],
  ) {
    this.handle = handle;
    // Code of the user's chooses it, perhaps from somebody's input.
    this.name = wellFormed(name);
    this.#hostFunctions = hostFunctions;
    this.directives = settings.directives;
    this.onLog = settings.onLog;
    this.meter = new Meter(handle, this.name);
    this.#restoresAfterCalls = restoresAfterCalls;
    this.#origin = settings.origin;
    this.#fresh = settings.origin;
  }

  /** The span that made the sandbox. What it began as is that span's work, if it was no snapshot. */
  madeBy(span: SpanIds | undefined): void {
    this.#origin ??= span;
  }

  hostFunction(number: number): string {
    return this.#hostFunctions()[number]?.name ?? `number ${number}`;
  }

  /**
   * Begins the recording of the guest's start, which begins right behind this, below the span `around`;
   * `undefined` if nobody wants one. Code of the user's runs `inContext`.
   */
  beginStart(around: SpanHandle | undefined, inContext: InContext): CallTrace | undefined {
    if (this.directives === false || (around === undefined && !this.#wantsLogs)) return undefined;
    try {
      const recording = new CallTrace(this, null, inContext);
      recording.within(around);
      recording.arm(this.directives);
      return recording;
    } catch (error) {
      warnOfFailure(error);
      return undefined;
    }
  }

  /** Whether somebody wants events and log records whatever becomes of spans. */
  get #wantsLogs(): boolean {
    return this.onLog !== undefined || registeredLogging() !== undefined;
  }

  /**
   * Begins the recording of a call that begins itself right behind this, with `staged` bytes in the
   * staging buffer; `undefined` if nobody wants one. Code of the user's runs `inContext`.
   */
  begin(request: Recorded, staged: number, inContext?: InContext): CallTrace | undefined {
    const origin = this.#fresh;
    this.#fresh = this.#restoresAfterCalls ? this.#origin : undefined;
    if (this.onLog === undefined && !isObserved()) return undefined;
    try {
      return this.#begin(request, origin, staged, inContext);
    } catch (error) {
      warnOfFailure(error);
      return undefined;
    }
  }

  #begin(
    { what, trace }: Recorded,
    origin: SpanIds | undefined,
    staged: number,
    inContext: InContext | undefined,
  ): CallTrace | undefined {
    const directives = trace ?? this.directives;
    const isMetered = this.meter.begin();
    if (!isMetered && directives === false) return undefined;
    const recording = new CallTrace(this, what, inContext);
    if (directives === false) return recording;
    const source = spanSource();
    const isRecorded = source !== undefined && recording.start(source, origin, staged);
    // OpenTelemetry does not sample log records as it does traces.
    if (isRecorded || this.#wantsLogs) recording.arm(directives);
    else if (recording.hasPlace) recording.hand();
    else if (!isMetered) return undefined;
    return recording;
  }

  /** A restore is about to begin. */
  beginRestore(): void {
    this.meter.begin();
  }

  /** The sandbox went back to native snapshot `snapshot`, 0 for what it was made from. */
  restored(snapshot: number): void {
    this.#fresh = snapshot === 0 ? this.#origin : originOf(snapshot);
    this.meter.endRestore();
  }

  report(trouble: Trouble): void {
    this.meter.countTrouble(trouble);
    // An event that is written while another one is formatted comes first and is the later one.
    const list = Object.entries(trouble).filter(([reason]) => reason !== "moved");
    if (list.length === 0) return;
    warnOnce(
      "AMPOULE_TRACE_DATA",
      `trace data of sandbox ${JSON.stringify(this.name)} is incomplete or not valid: ` +
        list.map(([reason, count]) => `${reason} ${count}`).join(", "),
      this.name,
    );
  }
}

/** Whether anybody on this thread may want to know of calls. What costs nothing, costs this. */
function isObserved(): boolean {
  return (
    registeredTracing() !== undefined ||
    registeredMetrics() !== undefined ||
    registeredLogging() !== undefined ||
    usedSpanSource() !== undefined
  );
}
