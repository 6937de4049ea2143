/**
 * Drives one native sandbox: begins calls, answers the steps at which the guest needs the host, and
 * settles. Two drivers share everything but waiting: {@link Driver.runSync} loops on this thread,
 * {@link Driver.run} goes on whenever the native side has a step.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { AmpouleError } from "../errors.js";
import type { SandboxState } from "../state.js";
import { readError } from "../values/message.js";
import type { Callee } from "./callee.js";
import {
  abortedError,
  exited,
  fromGuest,
  fromNative,
  internalError,
  sandboxError,
  signalName,
  sourceError,
  type Thrown,
  thrown,
  worded,
} from "./failures.js";
import {
  type Answer,
  answerWith,
  asyncMistake,
  type Import,
  isThenable,
  stageFailure,
} from "./host.js";
import {
  type NativeStatistics,
  native,
  Resumption,
  Step,
  StopReason,
  stepFunction,
  stepHasOutput,
  stepKind,
  stepLength,
} from "./native.js";
import { type Ending, NOTHING_DONE, type Request, type Run } from "./run.js";
import { enter, leave, targetOf } from "./running.js";
import { isInside, runInScope } from "./scope.js";
import { staging } from "./staging.js";
import { type Input, Outputs, type Sink } from "./streams.js";

/** Nobody ever wakes this: waiting for it is how a thread sleeps. */
const SLEEPER = new Int32Array(new SharedArrayBuffer(4));
/** How long a sleep may overlook that the sandbox was stopped. */
const SLICE_MS = 10;
/** The longest time that a timer of Node.js can be set for. */
const TIMER_MAX = 2 ** 31 - 1;

/** The driver of a sandbox of this thread with which something asynchronous is going on. */
export function driverOf(handle: number): Driver | undefined {
  const target = targetOf(handle);
  return target instanceof Driver ? target : undefined;
}

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
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly input: Input;
}

/** Drives one native sandbox. */
export class Driver implements Callee {
  readonly handle: number;
  readonly name: string;
  readonly messageBytes: number;
  state: SandboxState = "starting";
  /** What poisoned the sandbox. */
  failure: AmpouleError | null = null;
  /** The guest's imports, by number; known once the guest is ready. */
  imports: readonly Import[] = [];

  readonly #outputs: Outputs;
  readonly #input: Input;
  readonly #queue: Run[] = [];
  #run: Run | undefined;
  #runningSync = false;
  #closed: Promise<void> | undefined;
  #gone: (() => void) | undefined;
  /** Wakes a sleeping guest; a stop must not leave it behind, it may be set for weeks. */
  #alarm: NodeJS.Timeout | undefined;
  #finalStatistics: NativeStatistics = NOTHING_DONE;

  constructor(options: DriverOptions) {
    this.handle = options.handle;
    this.name = options.name;
    this.messageBytes = options.messageBytes;
    this.#outputs = new Outputs(options.handle, [options.stdout, options.stderr]);
    this.#input = options.input;
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

  #enqueue<T>(request: Request<T>, begin: () => boolean): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const { signal } = request;
      const run: Run = {
        ...request,
        finish: (ending) => request.finish(ending),
        begin,
        resolve: resolve as (value: never) => void,
        reject,
        inContext: AsyncLocalStorage.snapshot(),
        stopListening: () => signal?.removeEventListener("abort", onAbort),
        thrown: undefined,
        verdict: undefined,
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
    if (this.state === "ready") this.state = "running";
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
      this.#fail(run, run.verdict);
      return;
    }
    const length = stepLength(step);
    // The payload is read before anything of the user's runs: that may use the staging buffer.
    if (kind === Step.hostCall) {
      const target = this.imports[stepFunction(step)];
      const values = target?.arguments(length) ?? "there is no such host function";
      this.#afterOutput(run, step, () => this.#hostCall(run, target, values));
    } else if (kind === Step.output) {
      this.#afterOutput(run, step, () => this.#resume(run, [Resumption.continue, 0]));
    } else if (kind === Step.input) {
      this.#afterOutput(run, step, () => this.#provideInput(run));
    } else if (kind === Step.sleep) {
      this.#afterOutput(run, step, () => this.#sleep(run, length));
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
    if (stepKind(step) === Step.stopped || stepKind(step) === Step.exited) {
      this.#poison(error instanceof AmpouleError ? error : exited(0, null, ""));
    }
    this.#settle(
      run,
      error === undefined ? () => run.resolve(value as never) : () => run.reject(error),
    );
  }

  /** What a final step means; throws the error that it stands for. */
  #ending(step: number, what: string, thrown: Thrown | undefined): Ending {
    const length = stepLength(step);
    switch (stepKind(step)) {
      case Step.ready:
        return { kind: "ready" };
      case Step.return:
        return { kind: "return", length };
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

  /** Hands pending output on and then goes on with `next`, later if a stream is full. */
  #afterOutput(run: Run, step: number, next: () => void): void {
    const wait = this.#outputs.drain(stepHasOutput(step));
    if (wait === undefined) next();
    else if (!isThenable(wait)) this.#breakOff(run, wait.error);
    else this.#wait(run, wait, next, (error) => this.#breakOff(run, sourceError("output", error)));
  }

  #hostCall(run: Run, target: Import | undefined, values: unknown[] | string): void {
    if (target === undefined || typeof values === "string") {
      // The guest's own mistake (or lie): it is told, and none of the user's code runs.
      const length = stageFailure(String(values), this.messageBytes);
      this.#resume(run, [Resumption.hostError, length]);
      return;
    }
    const fail = (error: unknown): void => {
      run.thrown = thrown(error);
      const length = stageFailure(run.thrown.message, this.messageBytes);
      this.#resume(run, [Resumption.hostError, length]);
    };
    const answer = (result: unknown): void => {
      const remember = (failure: Thrown): void => {
        run.thrown = failure;
      };
      this.#resume(run, answerWith(target, result, this.messageBytes, remember));
    };
    let call: { result: unknown; leave: () => void };
    const turn = run.turn;
    try {
      call = run.inContext(() => runInScope(this, () => target.call(values)));
    } catch (error) {
      if (this.#isCurrent(run, turn)) fail(error);
      return;
    }
    const { result, leave } = call;
    if (!isThenable(result)) {
      leave();
      if (this.#isCurrent(run, turn)) answer(result);
      return;
    }
    this.#wait(run, result, answer, fail, leave);
  }

  #provideInput(run: Run): void {
    const give = (chunk: Uint8Array | null): void => {
      if (chunk !== null) staging(chunk.length).set(chunk);
      this.#resume(
        run,
        chunk === null ? [Resumption.endOfInput, 0] : [Resumption.input, chunk.length],
      );
    };
    const fail = (error: unknown): void => this.#breakOff(run, sourceError("stdin", error));
    try {
      const chunk = run.inContext(() => this.#input.next());
      if (isThenable(chunk))
        this.#wait(run, chunk, (value) => give(value as Uint8Array | null), fail);
      else give(chunk);
    } catch (error) {
      fail(error);
    }
  }

  /** Lets the guest sleep. It goes back to sleep by itself when that was not long enough. */
  #sleep(run: Run, milliseconds: number): void {
    const turn = ++run.turn;
    const wake = (): void => {
      if (this.#isCurrent(run, turn)) this.#resume(run, [Resumption.continue, 0]);
    };
    this.#alarm = setTimeout(wake, Math.min(milliseconds, TIMER_MAX)).unref();
  }

  /** Waits for something of the user's. Meanwhile the native side keeps the deadline. */
  #wait(
    run: Run,
    promise: PromiseLike<unknown>,
    next: (value: unknown) => void,
    fail: (error: unknown) => void,
    leave: () => void = () => {},
  ): void {
    const turn = ++run.turn;
    const arrive = (go: (value: unknown) => void) => (value: unknown) => {
      leave();
      if (!this.#isCurrent(run, turn)) return;
      go(value);
    };
    // Resolving adopts foreign thenables and keeps their exceptions off this stack.
    Promise.resolve(promise).then(arrive(next), arrive(fail));
  }

  #isCurrent(run: Run, turn: number): boolean {
    return this.#run === run && run.turn === turn && run.verdict === undefined;
  }

  #resume(run: Run, [resumption, length]: Answer): void {
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

  #breakOff(run: Run, error: AmpouleError): void {
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
    if (this.state === "closed" || this.state === "poisoned") return;
    const error = sandboxError(this.name, "ERR_AMPOULE_KILLED", "was killed");
    if (this.#run !== undefined) {
      this.#interrupt(this.#run, StopReason.killed, error);
      return;
    }
    native().kill(this.handle, StopReason.killed);
    if (!this.#runningSync) this.#poison(error);
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
    this.#rejectQueue(() =>
      sandboxError(this.name, "ERR_AMPOULE_POISONED", `cannot be used since ${why.code}`, why),
    );
  }

  #rejectQueue(error: () => AmpouleError): void {
    for (const run of this.#queue.splice(0)) {
      run.stopListening();
      run.reject(error());
    }
  }

  #fail(run: Run, error: AmpouleError): void {
    this.#poison(error);
    this.#settle(run, () => run.reject(error));
  }

  #settle(run: Run, report: () => void): void {
    leave(this.handle);
    clearTimeout(this.#alarm);
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
          const [resumption, size] = this.#answerSync(step, memory);
          step = native().resumeSync(this.handle, resumption, size);
        } else {
          const value = request.finish(this.#ending(step, request.what, memory.thrown));
          this.#drainSync(step);
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

  #answerSync(step: number, memory: { thrown: Thrown | undefined }): Answer {
    const kind = stepKind(step);
    if (kind !== Step.hostCall) {
      this.#drainSync(step);
      if (kind === Step.output) return [Resumption.continue, 0];
      if (kind === Step.sleep) {
        this.#sleepSync(stepLength(step));
        return [Resumption.continue, 0];
      }
      const chunk = this.#input.next();
      if (isThenable(chunk)) {
        chunk.then(undefined, () => {});
        throw asyncMistake("stdin");
      }
      if (chunk === null) return [Resumption.endOfInput, 0];
      staging(chunk.length).set(chunk);
      return [Resumption.input, chunk.length];
    }
    const target = this.imports[stepFunction(step)];
    const values = target?.arguments(stepLength(step)) ?? "there is no such host function";
    this.#drainSync(step);
    if (target === undefined || typeof values === "string") {
      return [Resumption.hostError, stageFailure(String(values), this.messageBytes)];
    }
    try {
      const result = target.call(values);
      if (isThenable(result)) {
        result.then(undefined, () => {});
        throw asyncMistake(`host function ${target.name}`);
      }
      return answerWith(target, result, this.messageBytes, (failure) => {
        memory.thrown = failure;
      });
    } catch (error) {
      memory.thrown = thrown(error);
      return [Resumption.hostError, stageFailure(memory.thrown.message, this.messageBytes)];
    }
  }

  /** Keeps the thread as long as the guest wants to sleep, looking for a kill from elsewhere. */
  #sleepSync(milliseconds: number): void {
    const end = performance.now() + milliseconds;
    for (let left = milliseconds; left > 0; left = end - performance.now()) {
      Atomics.wait(SLEEPER, 0, 0, Math.min(left, SLICE_MS));
      if (native().isStopping(this.handle)) return;
    }
  }

  #drainSync(step: number): void {
    const broken = this.#outputs.drain(stepHasOutput(step));
    if (broken === undefined) return;
    // Nothing can wait here. A failure that arrives later has nobody to report to.
    if (isThenable(broken)) broken.then(undefined, () => {});
    else throw broken.error;
  }

  /** The error of a call on this thread, after the state has been brought in line with it. */
  #syncFailure(problem: unknown, step: number, request: Request<unknown>): unknown {
    const kind = stepKind(step);
    const error = problem instanceof AmpouleError ? problem : internalError(problem);
    if (kind === Step.stopped || kind === Step.exited) {
      const final = worded(error, this.name, request);
      this.#poison(final);
      return final;
    }
    if (needsHost(kind)) {
      // Broken off in the middle: the guest waits for an answer that will never come.
      native().kill(this.handle, StopReason.aborted);
      this.#poison(error);
    }
    return error;
  }
}
