/** Metrics of calls and restores, for the OpenTelemetry SDK that the user has registered. */
import type { Counter, Histogram } from "@opentelemetry/api";
import { native } from "../native/native.js";
import { wellFormed } from "../text.js";
import {
  instrumentationScope,
  openTelemetry,
  registeredMetrics,
  SCHEMA_URL,
  warnIfRefused,
} from "./api.js";
import { guarded } from "./failure.js";
import type { Trouble } from "./guest-spans.js";
import { observe, observePools, type PoolCounts } from "./pools.js";
import type { Attributes } from "./spans.js";

interface Instruments {
  readonly duration: Histogram;
  readonly cpuTime: Histogram;
  readonly hostDuration: Histogram;
  readonly runDuration: Histogram;
  readonly exits: Counter;
  readonly dirtyPages: Counter;
  readonly restores: Counter;
  readonly droppedEvents: Counter;
}

/** The counters that metrics are made of. */
interface Counters {
  readonly exits: number;
  readonly cpuTimeMs: number;
  readonly restores: number;
  readonly restoredPages: number;
}

function countersOf(handle: number): Counters | undefined {
  const counters = native().counters(handle);
  if (counters === null) return undefined;
  const [exits = 0, cpuTimeMs = 0, restores = 0, restoredPages = 0] = counters;
  return { exits, cpuTimeMs, restores, restoredPages };
}

/** Seconds: from the shortest calls there are to the default time limit. */
const BUCKETS = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10].flatMap((decade) => [
  decade,
  2.5 * decade,
  5 * decade,
]);

let registration: object | undefined;
let instruments: Instruments | undefined;

function currentInstruments(): Instruments | undefined {
  const registered = registeredMetrics();
  if (registered !== registration) {
    registration = registered;
    instruments = undefined;
    if (registered !== undefined) {
      guarded(() => {
        instruments = makeInstruments();
      });
    }
  }
  return instruments;
}

function makeInstruments(): Instruments | undefined {
  const api = openTelemetry();
  if (api === undefined) return undefined;
  const { name, version } = instrumentationScope();
  warnIfRefused(registeredMetrics(), api.metrics.getMeterProvider());
  const meter = api.metrics.getMeter(name, version, { schemaUrl: SCHEMA_URL });
  observePools(meter);
  const seconds = (description: string) => ({
    description,
    unit: "s",
    advice: { explicitBucketBoundaries: BUCKETS },
  });
  return {
    duration: meter.createHistogram(
      "ampoule.call.duration",
      seconds("Time from the beginning of a call to its end, time in host functions included"),
    ),
    cpuTime: meter.createHistogram(
      "ampoule.guest.cpu.time",
      seconds("CPU time that the guest used for a call, where it is measured"),
    ),
    hostDuration: meter.createHistogram(
      "ampoule.host.duration",
      seconds("Time that a host function took, from its call to its answer"),
    ),
    runDuration: meter.createHistogram(
      "ampoule.run.duration",
      seconds("Time that a program took, its start included"),
    ),
    exits: meter.createCounter("ampoule.exits", {
      description: "Times the virtual CPU was left",
      unit: "{exit}",
    }),
    dirtyPages: meter.createCounter("ampoule.dirty_pages", {
      description: "Pages of 4 KiB that guests had written and restores copied back",
      unit: "{page}",
    }),
    restores: meter.createCounter("ampoule.restores", {
      description: "Times a sandbox went back to a snapshot",
      unit: "{restore}",
    }),
    droppedEvents: meter.createCounter("ampoule.trace.dropped_events", {
      description: "Spans, events and batches of guests' trace data that were lost, by reason",
      unit: "{item}",
    }),
  };
}

/** Reports on one sandbox. Operations of one sandbox do not overlap. */
export class Meter {
  readonly #handle: number;
  readonly #sandbox: Attributes;
  /** Whom the operation in progress is reported to, if to anybody. */
  #to: Instruments | undefined;
  /** The counters as last reported to that; absent where something was not. */
  #reported: Counters | undefined;

  constructor(handle: number, sandbox: string) {
    this.#handle = handle;
    this.#sandbox = { "ampoule.sandbox.name": sandbox };
  }

  /** Whether the operation in progress is reported to anybody. */
  get isOn(): boolean {
    return this.#to !== undefined;
  }

  /** A call or a restore is about to begin. Returns whether it is reported. */
  begin(): boolean {
    const to = currentInstruments();
    if (to !== this.#to) {
      this.#to = to;
      this.#reported = undefined;
      // It costs about a quarter of a short call, so that it is not done for nobody.
      native().measureCpuTime(this.#handle, to !== undefined);
    }
    if (to !== undefined) this.#reported ??= countersOf(this.#handle);
    return to !== undefined;
  }

  /** A call of `function_` has ended. `error` is the type of its error. */
  endCall(function_: string, seconds: number, error: string | undefined): void {
    if (this.#to === undefined) return;
    const attributes = {
      "code.function.name": function_,
      ...this.#sandbox,
      ...(error === undefined ? {} : { "error.type": error }),
    };
    this.#report((to, before, after) => {
      to.duration.record(seconds, attributes);
      const cpuMs = after.cpuTimeMs - before.cpuTimeMs;
      if (cpuMs > 0) to.cpuTime.record(cpuMs / 1000, attributes);
      to.exits.add(after.exits - before.exits, attributes);
      countRestores(to, before, after, attributes);
      return after;
    });
  }

  /** Host function `function_` has answered the call in progress. `error` is the type of its error. */
  endHost(function_: string, seconds: number, error: string | undefined): void {
    const to = this.#to;
    if (to === undefined) return;
    const attributes = {
      "code.function.name": function_,
      ...this.#sandbox,
      ...(error === undefined ? {} : { "error.type": error }),
    };
    guarded(() => to.hostDuration.record(seconds, attributes));
  }

  /** A restore has ended, perhaps of a call that is broken off. */
  endRestore(): void {
    this.#report((to, before, after) => {
      countRestores(to, before, after, this.#sandbox);
      const { restores, restoredPages } = after;
      return { ...before, restores, restoredPages };
    });
  }

  /** So often so much of a call's trace data was lost or not valid, by reason. */
  countTrouble(counts: Trouble): void {
    const to = currentInstruments();
    if (to === undefined) return;
    for (const [reason, count] of Object.entries(counts)) {
      // Those are there, with another time.
      if (reason === "moved") continue;
      const attributes = { ...this.#sandbox, "ampoule.trace.reason": reason };
      guarded(() => to.droppedEvents.add(count, attributes));
    }
  }

  #report(act: (to: Instruments, before: Counters, after: Counters) => Counters): void {
    const to = this.#to;
    const before = this.#reported;
    if (to === undefined || before === undefined) return;
    const after = countersOf(this.#handle);
    if (after === undefined) return;
    this.#reported = after;
    guarded(() => {
      this.#reported = act(to, before, after);
    });
  }
}

function countRestores(
  to: Instruments,
  before: Counters,
  after: Counters,
  attributes: Attributes,
): void {
  const restores = after.restores - before.restores;
  if (restores > 0) to.restores.add(restores, attributes);
  const pages = after.restoredPages - before.restoredPages;
  if (pages > 0) to.dirtyPages.add(pages, attributes);
}

/** Reports on a run of the program `name` of so many seconds. `error` is the type of its error. */
export function meterRun(name: string, seconds: number, error: string | undefined): void {
  const to = currentInstruments();
  if (to === undefined) return;
  const attributes = {
    "ampoule.sandbox.name": name,
    ...(error === undefined ? {} : { "error.type": error }),
  };
  guarded(() => to.runDuration.record(seconds, attributes));
}

/** Reports on `pool`, the one of that name, until the function that is returned is called. */
export function meterPool(name: string, pool: { readonly counts: PoolCounts }): () => void {
  const stop = observe(wellFormed(name), pool);
  currentInstruments();
  return stop;
}
