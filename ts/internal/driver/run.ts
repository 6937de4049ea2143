/** What one start or call of a sandbox is, or a snapshot or restore. */
import type { AmpouleError } from "../../errors.js";
import type { InContext } from "../context.js";
import type { Thrown } from "../failures.js";
import type { NativeStatistics } from "../native/native.js";
import type { Times } from "../options/numbers.js";
import type { CallTrace } from "../telemetry/call.js";
import type { Directives } from "../telemetry/directives.js";

/** What ends a run well. `length` bytes of payload stand in the staging buffer. */
export type Ending =
  | { readonly kind: "ready" }
  | { readonly kind: "return"; readonly length: number }
  | { readonly kind: "snapshot" }
  | { readonly kind: "restored" }
  | { readonly kind: "exited"; readonly code: number; readonly signal: string | null };

/** One start or call, or a snapshot or restore. */
export interface Request<T> {
  /** Names the run in messages: `guest "x"` or `greet`. */
  readonly what: string;
  readonly times: Times;
  readonly signal: AbortSignal | undefined;
  /** What a guest's function is to trace; absent: what the sandbox's options say. */
  readonly trace?: Directives | undefined;
  /** Turns the ending into the value to resolve with. Throws what to reject with. */
  finish(ending: Ending): T;
}

/**
 * How far a run is: `open` until the guest is done; `over` while what it wrote last is waited for, when
 * whoever ends the run settles it; `ended` while what it has told is handed over.
 */
export type RunPhase = "open" | "over" | "ended";

/** An asynchronous run, queued or in progress. */
export interface Run extends Request<unknown> {
  /** Hands the run to the native side; `false` if that refuses. */
  readonly begin: (run: Run) => boolean;
  /** Whether it is a restore, which may begin in a sandbox that cannot be called. */
  readonly recovers: boolean;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
  /** Enters the async context of the caller. */
  readonly inContext: InContext;
  readonly stopListening: () => void;
  /** Of a call that has begun and is recorded. */
  recording: CallTrace | undefined;
  thrown: Thrown | undefined;
  /** The error that somebody on this thread has decided on; whatever the guest does now is void. */
  verdict: AmpouleError | undefined;
  phase: RunPhase;
  /** Counts the times the host was waited for; a late answer has an old number. */
  turn: number;
}

/** Tells whoever waits for `run` how it ended: with `error`, or with `value` if there is none. Once. */
export function deliver(run: Run, error: unknown, value: unknown): void {
  if (error === undefined) run.resolve(value as never);
  else run.reject(error);
}

/** Counters of a sandbox that has not begun. */
export const NOTHING_DONE: NativeStatistics = Object.freeze({
  calls: 0,
  hostCalls: 0,
  exits: 0,
  interruptions: 0,
  pageFaults: 0,
  initialisations: 0,
  restores: 0,
  restoredPages: 0,
  wholesaleRestores: 0,
  systemCalls: [],
  bytesToGuest: 0,
  bytesFromGuest: 0,
  outputBytes: 0,
  guestTimeMs: 0,
  cpuTimeMs: 0,
  memoryBytes: 0,
  traceBytes: 0,
  traceEvents: 0,
  traceDropped: 0,
});

/** What a request has that runs no code of the guest's. */
export const UNBOUNDED = {
  times: { timeoutMs: Number.POSITIVE_INFINITY, cpuTimeMs: Number.POSITIVE_INFINITY },
  signal: undefined,
} as const;
