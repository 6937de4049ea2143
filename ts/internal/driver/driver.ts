/**
 * Drives one native sandbox: begins calls, answers the steps at which the guest needs the host, and
 * settles. Two drivers share everything but waiting: {@link Driver.runSync} loops on this thread,
 * {@link Driver.run} goes on whenever the native side has a step.
 */
import type { AmpouleError } from "../../errors.js";
import type { SandboxState } from "../../state.js";
import type { MessageLimits } from "../../values/writer.js";
import { captureContext } from "../context.js";
import {
  abortedError,
  exited,
  fromNative,
  internalError,
  poisonedBy,
  sandboxError,
  worded,
} from "../failures.js";
import { isOurs } from "../foreign.js";
import type { SyncCallee } from "../functions/callee.js";
import type { Answer, Import } from "../functions/imports.js";
import {
  Condition,
  type NativeStatistics,
  native,
  Resumption,
  Step,
  StopReason,
  stepCondition,
  stepFunction,
  stepKind,
  stepLength,
} from "../native/native.js";
import { staging } from "../native/staging.js";
import { isInside } from "../scope.js";
import { onAbort } from "../signals.js";
import { SandboxTelemetry, type TelemetrySettings } from "../telemetry/sandbox.js";
import type { SpanHandle } from "../telemetry/spans.js";
import { AsyncHost, TIMER_MAX } from "./async.js";
import { endingOf, endsCall, needsHost } from "./endings.js";
import type { Input } from "./input.js";
import { Outputs, type Sink } from "./outputs.js";
import { Queue } from "./queue.js";
import { busy, closed, reentrant, unusable } from "./refusals.js";
import { deliver, NOTHING_DONE, type Request, type Run, UNBOUNDED } from "./run.js";
import { enter, leave, targetOf } from "./running.js";
import { type SyncCall, SyncHost } from "./sync.js";

/** The driver of a sandbox of this thread with which something asynchronous is going on. */
export function driverOf(handle: number): Driver | undefined {
  const target = targetOf(handle);
  return target instanceof Driver ? target : undefined;
}

/** How a sandbox's driver is made. */
export interface DriverOptions {
  readonly handle: number;
  readonly name: string;
  readonly messageLimits: MessageLimits;
  /** Whether the native side restores the sandbox when a call has ended. */
  readonly restoresAfterCalls: boolean;
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly input: Input;
  readonly telemetry: TelemetrySettings;
}

/** Drives one native sandbox. */
export class Driver implements SyncCallee {
  readonly handle: number;
  readonly name: string;
  readonly messageLimits: MessageLimits;
  readonly telemetry: SandboxTelemetry;
  state: SandboxState = "starting";
  /** What poisoned or broke the sandbox. */
  failure: AmpouleError | null = null;
  /** The guest's imports, by number; known once the guest is ready. */
  imports: readonly Import[] = [];

  readonly #outputs: Outputs;
  readonly #input: Input;
  readonly #sync: SyncHost;
  readonly #async: AsyncHost;
  readonly #restoresAfterCalls: boolean;
  readonly #queue = new Queue();
  #run: Run | undefined;
  #runningSync = false;
  /** Set by a kill during a call on this thread, which may come when its last step is there. */
  #killedSync: AmpouleError | undefined;
  #closed: Promise<void> | undefined;
  #gone: (() => void) | undefined;
  #finalStatistics: NativeStatistics = NOTHING_DONE;

  constructor(options: DriverOptions) {
    this.handle = options.handle;
    this.name = options.name;
    this.messageLimits = options.messageLimits;
    this.#outputs = new Outputs(options.handle, [options.stdout, options.stderr]);
    this.#input = options.input;
    this.#sync = new SyncHost(options.handle, this.#input, this.#outputs);
    this.#async = new AsyncHost(this, this.#input, this.#outputs);
    this.#restoresAfterCalls = options.restoresAfterCalls;
    this.telemetry = new SandboxTelemetry(
      options.handle,
      options.name,
      options.telemetry,
      options.restoresAfterCalls,
      () => this.imports,
    );
  }

  /** Throws if no call can be made now, and none can be queued. */
  refuseIfUnusable(): void {
    const error = unusable(this.name, this.state, this.failure);
    if (error !== undefined) throw error;
    this.#refuseIfInside();
  }

  #refuseIfInside(): void {
    if (this.#runningSync || isInside(this)) throw reentrant(this.name);
  }

  /** Throws if no call can begin now. */
  refuseIfBusy(): void {
    this.refuseIfUnusable();
    if (this.state !== "ready") {
      throw busy(this.name, "runs another call; await it, or use call, which queues");
    }
  }

  /** Whether an asynchronous run would begin at once. */
  get isIdle(): boolean {
    return this.#run === undefined && !this.#runningSync;
  }

  /** Makes the VM and starts the guest, which is recorded below the span `around`. */
  start<T>(request: Request<T>, around?: SpanHandle): Promise<T> {
    const { timeoutMs, cpuTimeMs } = request.times;
    return this.#enqueue(request, (run) => {
      run.recording = this.telemetry.beginStart(around, run.inContext);
      return native().startAsync(this.handle, timeoutMs, cpuTimeMs);
    });
  }

  /**
   * Calls export number `functionId`. Its arguments stand in the staging buffer if the driver is
   * idle, else in `queued`.
   */
  run<T>(
    request: Request<T>,
    functionId: number,
    length: number,
    queued: Uint8Array | undefined,
  ): Promise<T> {
    const { timeoutMs, cpuTimeMs } = request.times;
    return this.#enqueue(request, (run) => {
      const staged = queued === undefined ? length : 0;
      run.recording = this.telemetry.begin(request, staged, run.inContext);
      if (queued !== undefined) staging(length).set(queued);
      return native().callAsync(this.handle, functionId, length, timeoutMs, cpuTimeMs);
    });
  }

  /** Takes a snapshot, after what is queued; it is native snapshot number such-and-such then. */
  snapshot(): Promise<number> {
    this.refuseIfUnusable();
    return this.#enqueue(
      {
        ...UNBOUNDED,
        what: "snapshot",
        finish: () => native().takeSnapshot(this.handle, this.name),
      },
      () => native().snapshotAsync(this.handle),
    );
  }

  /**
   * Goes back to native snapshot `snapshot`, 0 for what the sandbox was made from, after what is
   * queued and on a runner. From any state but closed.
   */
  restore(snapshot = 0): Promise<void> {
    this.#refuseToRestore();
    return this.#enqueue(
      { ...UNBOUNDED, what: "restore", finish: () => this.#restored(snapshot) },
      () => {
        this.telemetry.beginRestore();
        return native().restoreAsync(this.handle, snapshot);
      },
      true,
    );
  }

  /** Whether {@link restoreSync} is possible and takes microseconds only. */
  restoresCheaply(snapshot: number): boolean {
    return (
      this.isIdle && this.state !== "closed" && native().restoresCheaply(this.handle, snapshot)
    );
  }

  /** {@link restore} on this thread; nothing may be going on. */
  restoreSync(snapshot = 0): void {
    this.#refuseToRestore();
    if (!this.isIdle) throw busy(this.name, "runs a call; use restore, which queues");
    this.telemetry.beginRestore();
    const step = native().restoreSync(this.handle, snapshot);
    if (stepKind(step) === Step.restored) {
      this.#restored(snapshot);
      this.state = "ready";
      return;
    }
    const error = fromNative(native().stopped(this.handle));
    this.#break(error);
    throw error;
  }

  #refuseToRestore(): void {
    if (this.state === "closed") throw closed(this.name);
    this.#refuseIfInside();
  }

  /** The guest is where it was in that snapshot. */
  #restored(snapshot: number): void {
    this.failure = null;
    if (snapshot === 0) this.#input.rewind();
    else this.#input.close();
    this.telemetry.restored(snapshot);
  }

  #enqueue<T>(request: Request<T>, begin: (run: Run) => boolean, recovers = false): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const run: Run = {
        ...request,
        finish: (ending) => request.finish(ending),
        begin,
        recovers,
        resolve: resolve as (value: never) => void,
        reject,
        inContext: captureContext(),
        stopListening: onAbort(request.signal, () => this.#abort(run)),
        recording: undefined,
        thrown: undefined,
        verdict: undefined,
        killed: undefined,
        isOver: false,
        hasEnded: false,
        turn: 0,
      };
      this.#queue.push(run);
      this.#next();
    });
  }

  /** Begins the next queued run, if nothing else is in progress. */
  #next(): void {
    if (!this.isIdle) return;
    const run = this.#queue.shift();
    if (run === undefined) return;
    this.#run = run;
    if (this.state === "ready" || run.recovers) this.state = "running";
    enter(this.handle, this);
    let error: AmpouleError | undefined;
    try {
      if (!run.begin(run)) error = fromNative(native().stopped(this.handle));
    } catch (problem) {
      error = isOurs(problem) ? problem : internalError(problem);
    }
    if (error !== undefined) this.#fail(run, error);
  }

  /** Handles the step that the native side has. */
  step(): void {
    const step = native().takeStep(this.handle);
    const kind = stepKind(step);
    if (kind === Step.none) return;
    if (kind === Step.closed) {
      leave(this.handle);
      this.#gone?.();
      return;
    }
    const run = this.#run;
    if (run === undefined || run.hasEnded) return;
    try {
      this.#advance(run, step, kind);
    } catch (problem) {
      // This is called by the native side: nobody else would hear of it but the process, by its end.
      if (this.#run !== run) return;
      if (needsHost(kind)) this.breakOff(run, internalError(problem));
      else this.#fail(run, internalError(problem), step);
    }
  }

  #advance(run: Run, step: number, kind: number): void {
    if (run.verdict !== undefined) {
      // A guest that waits is being stopped: that is the step to come.
      if (!needsHost(kind)) this.#fail(run, run.verdict, step);
      return;
    }
    const length = stepLength(step);
    // The payload is read before anything of the user's runs: that may use the staging buffer.
    if (kind === Step.hostCall) {
      const target = this.imports[stepFunction(step)];
      const values = target?.arguments(length) ?? "there is no such host function";
      this.#afterRecords(run, step, () => this.#async.hostCall(run, target, values));
    } else if (!needsHost(kind)) {
      this.#end(run, step);
    } else if (kind === Step.output) {
      this.#afterRecords(run, step, () => this.resume(run, [Resumption.continue, 0]));
    } else if (kind === Step.input) {
      this.#afterRecords(run, step, () => this.#async.provideInput(run));
    } else {
      this.#afterRecords(run, step, () => this.#async.sleep(run, length));
    }
  }

  /** Hands on what the guest has recorded and written, and then goes on with `next`. */
  #afterRecords(run: Run, step: number, next: () => void): void {
    const goOn = (): void => this.#async.afterOutput(run, step, next);
    const rest = run.recording?.absorb();
    if (rest === undefined) goOn();
    else {
      const turn = ++run.turn;
      rest.then(() => {
        if (this.isCurrent(run, turn)) goOn();
      });
    }
  }

  #end(run: Run, step: number): void {
    let value: unknown;
    let error: unknown;
    try {
      value = run.finish(endingOf(this.handle, step, run.what, run.thrown));
    } catch (problem) {
      error = problem;
    }
    this.#conclude(step, isOurs(error) ? error : undefined);
    run.isOver = true;
    this.#async.lastOutput(run, step, error === undefined, (failure) => {
      if (run.verdict === undefined) this.#settle(run, error ?? failure, value);
    });
  }

  /**
   * Brings the state in line with a final step, whose error is `error` if it stands for one. None is
   * made for a step that needs none: with its stack trace that costs 10 us, a third of a call.
   */
  #conclude(step: number, error: AmpouleError | undefined): void {
    const kind = stepKind(step);
    const condition = stepCondition(step);
    if (kind === Step.ready) this.#input.mark();
    if (condition === Condition.broken) {
      const isReason = kind === Step.stopped;
      this.#break(
        isReason && error !== undefined ? error : fromNative(native().stopped(this.handle)),
      );
    } else if (condition !== Condition.ready && (kind === Step.stopped || kind === Step.exited)) {
      this.#poison(error ?? exited(0, null, ""));
    } else if (this.#restoresAfterCalls && endsCall(kind)) {
      this.#input.rewind();
    }
  }

  // Waiting for the host

  isCurrent(run: Run, turn: number): boolean {
    return this.#run === run && run.turn === turn && run.verdict === undefined;
  }

  resume(run: Run, [resumption, length]: Answer): void {
    if (run.verdict !== undefined) return;
    if (!native().resumeAsync(this.handle, resumption, length)) {
      this.#fail(run, fromNative(native().stopped(this.handle), run.thrown));
    }
  }

  // Stopping

  /** Ends the run in progress with `verdict`; the native side reports when the guest has stopped. */
  #interrupt(run: Run, reason: number, verdict: AmpouleError): void {
    if (run.verdict !== undefined || run.hasEnded) return;
    run.verdict = verdict;
    if (run.isOver) this.#settle(run, verdict, undefined);
    else native().kill(this.handle, reason);
  }

  breakOff(run: Run, error: AmpouleError): void {
    if (this.#run === run) this.#interrupt(run, StopReason.aborted, error);
  }

  #abort(run: Run): void {
    const error = abortedError(run.what, run.signal);
    if (this.#run === run) {
      this.#interrupt(run, StopReason.aborted, error);
      return;
    }
    if (this.#queue.withdraw(run)) run.reject(error);
  }

  /** Stops whatever runs and poisons the sandbox. */
  kill(): void {
    if (this.state === "closed" || this.state === "poisoned" || this.state === "broken") return;
    const error = sandboxError(this.name, "ERR_AMPOULE_KILLED", "was killed");
    native().kill(this.handle, StopReason.killed);
    const run = this.#run;
    if (run !== undefined && !run.hasEnded) {
      run.verdict ??= error;
      run.killed ??= error;
      this.#queue.rejectAll(() => poisonedBy(this.name, error));
      if (run.isOver) this.#settle(run, run.verdict, undefined);
    } else if (!this.#runningSync) this.#poison(error);
    else this.#killedSync = error;
  }

  /** Ends the sandbox; what runs is stopped first. Resolves when the VM is gone. */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#gone = resolve;
      this.state = "closed";
      this.#input.close();
      this.#queue.rejectAll(() => sandboxError(this.name, "ERR_AMPOULE_CLOSED", "was closed"));
      if (this.#run !== undefined) {
        const error = sandboxError(this.name, "ERR_AMPOULE_CLOSED", "was closed during the call");
        this.#interrupt(this.#run, StopReason.closed, error);
      } else if (this.#runningSync) {
        native().kill(this.handle, StopReason.closed);
      } else {
        this.#release();
      }
    });
    return this.#closed;
  }

  /** Gives the native sandbox up, once nothing runs in it. */
  #release(): void {
    this.#finalStatistics = native().statistics(this.handle) ?? NOTHING_DONE;
    enter(this.handle, this);
    native().close(this.handle);
  }

  /** The sandbox's counters; while it runs and after it is closed, their last values. */
  statistics(): NativeStatistics {
    if (this.state === "closed") return this.#finalStatistics;
    this.#finalStatistics = native().statistics(this.handle) ?? this.#finalStatistics;
    return this.#finalStatistics;
  }

  #poison(error: AmpouleError): void {
    if (this.state === "closed") return;
    this.state = "poisoned";
    this.failure ??= error;
    this.#input.close();
    const why = this.failure;
    this.#queue.rejectDoomed(() => poisonedBy(this.name, why));
  }

  /** A restore has failed. */
  #break(error: AmpouleError): void {
    if (this.state === "closed") return;
    this.state = "broken";
    this.failure = error;
    this.#input.close();
    const what = `is broken since ${error.code}`;
    this.#queue.rejectDoomed(() => sandboxError(this.name, "ERR_AMPOULE_BROKEN", what, error));
  }

  /** Ends `run` with `error`, after the final step `step` if the native side came to one. */
  #fail(run: Run, error: AmpouleError, step: number = Step.none): void {
    const kind = stepKind(step);
    if (kind === Step.snapshot) {
      native().closeSnapshot(native().takeSnapshot(this.handle, this.name));
    }
    const condition = stepCondition(step);
    const isReady =
      condition === Condition.ready ||
      (this.#restoresAfterCalls && (kind === Step.return || kind === Step.guestError));
    if (condition === Condition.broken || (run.recovers && kind === Step.none)) this.#break(error);
    else if (run.killed !== undefined) this.#poison(run.killed);
    else if (!isReady) this.#poison(error);
    else if (endsCall(kind)) this.#input.rewind();
    this.#settle(run, error, undefined);
  }

  /** Ends `run` with `error`, or with `value` if there is none. */
  #settle(run: Run, error: unknown, value: unknown): void {
    if (run.hasEnded) return;
    run.stopListening();
    run.hasEnded = true;
    // While the sandbox still counts as running: code of the user's runs in there.
    const rest = run.recording?.end(error);
    if (rest === undefined) {
      this.#leave(run);
      deliver(run, error, value);
      this.#next();
      return;
    }
    // A long trace holds up neither a failure nor, behind its own deadline, a result.
    const left = run.times.timeoutMs - (run.recording?.seconds ?? 0) * 1000;
    if (error !== undefined || left <= 0) deliver(run, error, value);
    const deadline =
      left < TIMER_MAX ? setTimeout(() => deliver(run, error, value), left) : undefined;
    rest.then(() => {
      clearTimeout(deadline);
      this.#leave(run);
      deliver(run, error, value);
      this.#next();
    });
  }

  /** Nothing of `run` is going on any more. */
  #leave(run: Run): void {
    if (run.killed !== undefined && this.state === "running") this.#poison(run.killed);
    leave(this.handle);
    this.#async.end();
    this.#run = undefined;
    if (this.state === "running" || this.state === "starting") this.state = "ready";
    if (this.state === "closed") this.#release();
  }

  // Calls on this thread

  /** Calls export number `functionId`, whose arguments stand in the staging buffer, and waits. */
  runSync<T>(request: Request<T>, functionId: number, length: number): T {
    const { times, signal } = request;
    const stopListening = onAbort(signal, () => native().kill(this.handle, StopReason.aborted));
    this.state = "running";
    this.#runningSync = true;
    this.#killedSync = undefined;
    const call: SyncCall = { recording: undefined, thrown: undefined };
    let step = 0;
    try {
      call.recording = this.telemetry.begin(request, length);
      step = native().callSync(this.handle, functionId, length, times.timeoutMs, times.cpuTimeMs);
      for (;;) {
        const kind = stepKind(step);
        if (needsHost(kind)) {
          const { imports, messageLimits } = this;
          const [resumption, size] = this.#sync.answer(step, imports, messageLimits, call);
          step = native().resumeSync(this.handle, resumption, size);
        } else {
          const value = request.finish(endingOf(this.handle, step, request.what, call.thrown));
          this.#sync.drain(step);
          this.#conclude(step, undefined);
          call.recording?.end(undefined);
          return value;
        }
      }
    } catch (problem) {
      const error = this.#syncFailure(problem, step, request);
      call.recording?.end(error);
      throw error;
    } finally {
      stopListening();
      this.#runningSync = false;
      if (this.state === "running") this.state = "ready";
      if (this.state === "ready" && this.#killedSync !== undefined) this.#poison(this.#killedSync);
      if ((this.state as SandboxState) === "closed") this.#release();
      this.#next();
    }
  }

  /** The error of a call on this thread, after the state has been brought in line with it. */
  #syncFailure(problem: unknown, step: number, request: Request<unknown>): unknown {
    const kind = stepKind(step);
    const error = isOurs(problem) ? problem : internalError(problem);
    if (kind === Step.stopped || kind === Step.exited) {
      const final = worded(error, this.name, request);
      this.#conclude(step, final);
      return final;
    }
    if (needsHost(kind)) {
      this.#abandon(error);
    } else if (this.#restoresAfterCalls) {
      this.#conclude(step, error);
    }
    return error;
  }

  /** A call on this thread was broken off: the guest waits for an answer that will never come. */
  #abandon(error: AmpouleError): void {
    if (this.#restoresAfterCalls && this.state !== "closed" && !native().isStopping(this.handle)) {
      const step = native().restoreSync(this.handle, 0);
      if (stepKind(step) === Step.restored) this.#restored(0);
      else this.#break(fromNative(native().stopped(this.handle)));
      return;
    }
    native().kill(this.handle, StopReason.aborted);
    this.#poison(error);
  }
}
