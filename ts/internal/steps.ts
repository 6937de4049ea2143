/**
 * Drives one native sandbox: begins calls, answers the steps at which the guest needs the host, and
 * settles. Two drivers share everything but waiting: {@link Driver.runSync} loops on this thread,
 * {@link Driver.run} goes on whenever the native side has a step.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { AmpouleError } from "../errors.js";
import type { SandboxState } from "../state.js";
import { readError } from "../values/message.js";
import { AsyncHost } from "./async.js";
import type { SyncCallee } from "./callee.js";
import {
  abortedError,
  exited,
  fromGuest,
  fromNative,
  internalError,
  sandboxError,
  signalName,
  type Thrown,
  worded,
} from "./failures.js";
import { type Answer, type Import, isThenable } from "./host.js";
import {
  Condition,
  type NativeStatistics,
  native,
  Resumption,
  Step,
  StopReason,
  stepCondition,
  stepFunction,
  stepHasOutput,
  stepKind,
  stepLength,
} from "./native.js";
import { type Ending, NOTHING_DONE, type Request, type Run } from "./run.js";
import { enter, leave, targetOf } from "./running.js";
import { isInside } from "./scope.js";
import { staging } from "./staging.js";
import { type Input, Outputs, type Sink } from "./streams.js";
import { SyncHost } from "./sync.js";

/** The driver of a sandbox of this thread with which something asynchronous is going on. */
export function driverOf(handle: number): Driver | undefined {
  const target = targetOf(handle);
  return target instanceof Driver ? target : undefined;
}

function poisonedBy(name: string, why: AmpouleError): AmpouleError {
  return sandboxError(name, "ERR_AMPOULE_POISONED", `cannot be used since ${why.code}`, why);
}

/** How a call can end. */
const ENDS_OF_CALLS = new Set<number>([Step.return, Step.guestError, Step.stopped]);

/** What a request has that runs no code of the guest's. */
const UNBOUNDED = {
  times: { timeoutMs: Number.POSITIVE_INFINITY, cpuTimeMs: Number.POSITIVE_INFINITY },
  signal: undefined,
} as const;

/** Whether the guest goes on only when the host has done something. */
function needsHost(kind: number): boolean {
  return (
    kind === Step.hostCall || kind === Step.output || kind === Step.input || kind === Step.sleep
  );
}

/** How a sandbox's driver is made. */
export interface DriverOptions {
  readonly handle: number;
  readonly name: string;
  readonly messageBytes: number;
  /** Whether the native side restores the sandbox when a call has ended. */
  readonly restoresAfterCalls: boolean;
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly input: Input;
}

/** Drives one native sandbox. */
export class Driver implements SyncCallee {
  readonly handle: number;
  readonly name: string;
  readonly messageBytes: number;
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
  readonly #queue: Run[] = [];
  #run: Run | undefined;
  #runningSync = false;
  #closed: Promise<void> | undefined;
  #gone: (() => void) | undefined;
  #finalStatistics: NativeStatistics = NOTHING_DONE;

  constructor(options: DriverOptions) {
    this.handle = options.handle;
    this.name = options.name;
    this.messageBytes = options.messageBytes;
    this.#outputs = new Outputs(options.handle, [options.stdout, options.stderr]);
    this.#input = options.input;
    this.#sync = new SyncHost(options.handle, this.#input, this.#outputs);
    this.#async = new AsyncHost(this, this.#input, this.#outputs);
    this.#restoresAfterCalls = options.restoresAfterCalls;
  }

  /** Throws if no call can be made now, and none can be queued. */
  refuseIfUnusable(): void {
    if (this.state === "closed") throw sandboxError(this.name, "ERR_AMPOULE_CLOSED", "is closed");
    if (this.state === "poisoned") {
      const why = this.failure?.code ?? "an earlier failure";
      throw sandboxError(
        this.name,
        "ERR_AMPOULE_POISONED",
        `cannot be used since ${why}`,
        this.failure,
      );
    }
    if (this.state === "broken") {
      const what = "is broken since a restore failed; restore it again, or close it";
      throw sandboxError(this.name, "ERR_AMPOULE_BROKEN", what, this.failure);
    }
    this.#refuseIfInside();
  }

  #refuseIfInside(): void {
    if (this.#runningSync || isInside(this)) {
      const what = "waits for the host function that calls it";
      throw sandboxError(this.name, "ERR_AMPOULE_REENTRANT", what);
    }
  }

  /** Throws if no call can begin now. */
  refuseIfBusy(): void {
    this.refuseIfUnusable();
    if (this.state !== "ready") {
      throw sandboxError(
        this.name,
        "ERR_AMPOULE_BUSY",
        "runs another call; await it, or use call, which queues",
      );
    }
  }

  /** Whether an asynchronous run would begin at once. */
  get isIdle(): boolean {
    return this.#run === undefined && !this.#runningSync;
  }

  /** Makes the VM and starts the guest. */
  start<T>(request: Request<T>): Promise<T> {
    const { timeoutMs, cpuTimeMs } = request.times;
    return this.#enqueue(request, () => native().startAsync(this.handle, timeoutMs, cpuTimeMs));
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
    return this.#enqueue(request, () => {
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
      () => native().restoreAsync(this.handle, snapshot),
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
    if (!this.isIdle) {
      throw sandboxError(this.name, "ERR_AMPOULE_BUSY", "runs a call; use restore, which queues");
    }
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
    if (this.state === "closed") throw sandboxError(this.name, "ERR_AMPOULE_CLOSED", "is closed");
    this.#refuseIfInside();
  }

  /** The guest is where it was in that snapshot. */
  #restored(snapshot: number): void {
    this.failure = null;
    if (snapshot === 0) this.#input.rewind();
    else this.#input.close();
  }

  #enqueue<T>(request: Request<T>, begin: () => boolean, recovers = false): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const { signal } = request;
      const run: Run = {
        ...request,
        finish: (ending) => request.finish(ending),
        begin,
        recovers,
        resolve: resolve as (value: never) => void,
        reject,
        inContext: AsyncLocalStorage.snapshot(),
        stopListening: () => signal?.removeEventListener("abort", onAbort),
        thrown: undefined,
        verdict: undefined,
        killed: undefined,
        turn: 0,
      };
      const onAbort = (): void => this.#abort(run);
      signal?.addEventListener("abort", onAbort, { once: true });
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
    if (!run.begin()) this.#fail(run, fromNative(native().stopped(this.handle)));
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
    if (run === undefined) return;
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
      this.#async.afterOutput(run, step, () => this.#async.hostCall(run, target, values));
    } else if (kind === Step.output) {
      this.#async.afterOutput(run, step, () => this.resume(run, [Resumption.continue, 0]));
    } else if (kind === Step.input) {
      this.#async.afterOutput(run, step, () => this.#async.provideInput(run));
    } else if (kind === Step.sleep) {
      this.#async.afterOutput(run, step, () => this.#async.sleep(run, length));
    } else {
      this.#end(run, step);
    }
  }

  #end(run: Run, step: number): void {
    let value: unknown;
    let error: unknown;
    try {
      value = run.finish(this.#ending(step, run.what, run.thrown));
    } catch (problem) {
      error = problem;
    }
    const broken = this.#outputs.drain(stepHasOutput(step));
    if (broken !== undefined && !isThenable(broken)) error ??= broken.error;
    // What is written last may be ahead of a full stream; nobody is held back by that any more.
    this.#conclude(step, error instanceof AmpouleError ? error : undefined);
    this.#settle(
      run,
      error === undefined ? () => run.resolve(value as never) : () => run.reject(error),
    );
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
    } else if (this.#restoresAfterCalls && ENDS_OF_CALLS.has(kind)) {
      this.#input.rewind();
    }
  }

  /** What a final step means; throws the error that it stands for. */
  #ending(step: number, what: string, thrown: Thrown | undefined): Ending {
    const length = stepLength(step);
    switch (stepKind(step)) {
      case Step.ready:
        return { kind: "ready" };
      case Step.return:
        return { kind: "return", length };
      case Step.snapshot:
        return { kind: "snapshot" };
      case Step.restored:
        return { kind: "restored" };
      case Step.guestError:
        throw fromGuest(what, readError(staging(length), length), thrown);
      case Step.exited: {
        const { code, signal } = native().exit(this.handle);
        return { kind: "exited", code, signal: signalName(signal) };
      }
      default:
        throw fromNative(native().stopped(this.handle), thrown);
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
    if (run.verdict !== undefined) return;
    run.verdict = verdict;
    native().kill(this.handle, reason);
  }

  breakOff(run: Run, error: AmpouleError): void {
    this.#interrupt(run, StopReason.aborted, error);
  }

  #abort(run: Run): void {
    const error = abortedError(run.what, run.signal);
    if (this.#run === run) {
      this.#interrupt(run, StopReason.aborted, error);
      return;
    }
    const index = this.#queue.indexOf(run);
    if (index < 0) return;
    this.#queue.splice(index, 1);
    run.reject(error);
  }

  /** Stops whatever runs and poisons the sandbox. */
  kill(): void {
    if (this.state === "closed" || this.state === "poisoned" || this.state === "broken") return;
    const error = sandboxError(this.name, "ERR_AMPOULE_KILLED", "was killed");
    native().kill(this.handle, StopReason.killed);
    if (this.#run !== undefined) {
      this.#run.verdict ??= error;
      this.#run.killed ??= error;
      this.#rejectQueue(() => poisonedBy(this.name, error));
    } else if (!this.#runningSync) this.#poison(error);
  }

  /** Ends the sandbox; what runs is stopped first. Resolves when the VM is gone. */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#gone = resolve;
      this.state = "closed";
      this.#input.close();
      this.#rejectQueue(() => sandboxError(this.name, "ERR_AMPOULE_CLOSED", "was closed"));
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
    this.#rejectQueue(() => poisonedBy(this.name, why), this.#firstRecovery());
  }

  /** A restore has failed. */
  #break(error: AmpouleError): void {
    if (this.state === "closed") return;
    this.state = "broken";
    this.failure = error;
    this.#input.close();
    this.#rejectQueue(
      () => sandboxError(this.name, "ERR_AMPOULE_BROKEN", `is broken since ${error.code}`, error),
      this.#firstRecovery(),
    );
  }

  /** How many of the queue stand before the first that leads away from a failure. */
  #firstRecovery(): number {
    const at = this.#queue.findIndex((run) => run.recovers);
    return at < 0 ? this.#queue.length : at;
  }

  #rejectQueue(error: () => AmpouleError, count = this.#queue.length): void {
    for (const run of this.#queue.splice(0, count)) {
      run.stopListening();
      run.reject(error());
    }
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
    else if (ENDS_OF_CALLS.has(kind)) this.#input.rewind();
    this.#settle(run, () => run.reject(error));
  }

  #settle(run: Run, report: () => void): void {
    leave(this.handle);
    this.#async.end();
    this.#run = undefined;
    if (this.state === "running" || this.state === "starting") this.state = "ready";
    if (this.state === "closed") this.#release();
    run.stopListening();
    report();
    this.#next();
  }

  // Calls on this thread

  /** Calls export number `functionId`, whose arguments stand in the staging buffer, and waits. */
  runSync<T>(request: Request<T>, functionId: number, length: number): T {
    const { times, signal } = request;
    const onAbort = (): void => native().kill(this.handle, StopReason.aborted);
    signal?.addEventListener("abort", onAbort, { once: true });
    this.state = "running";
    this.#runningSync = true;
    const memory: { thrown: Thrown | undefined } = { thrown: undefined };
    let step = 0;
    try {
      step = native().callSync(this.handle, functionId, length, times.timeoutMs, times.cpuTimeMs);
      for (;;) {
        const kind = stepKind(step);
        if (needsHost(kind)) {
          const [resumption, size] = this.#sync.answer(
            step,
            this.imports,
            this.messageBytes,
            memory,
          );
          step = native().resumeSync(this.handle, resumption, size);
        } else {
          const value = request.finish(this.#ending(step, request.what, memory.thrown));
          this.#sync.drain(step);
          this.#conclude(step, undefined);
          return value;
        }
      }
    } catch (problem) {
      throw this.#syncFailure(problem, step, request);
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.#runningSync = false;
      if (this.state === "running") this.state = "ready";
      if ((this.state as SandboxState) === "closed") this.#release();
      this.#next();
    }
  }

  /** The error of a call on this thread, after the state has been brought in line with it. */
  #syncFailure(problem: unknown, step: number, request: Request<unknown>): unknown {
    const kind = stepKind(step);
    const error = problem instanceof AmpouleError ? problem : internalError(problem);
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
