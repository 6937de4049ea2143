/**
 * Runs: what is asked of a sandbox and awaited. They queue; one at a time is in progress, and goes on whenever
 * the native side has a step.
 */
import type { AmpouleError } from "../../errors.js";
import type { MessageLimits } from "../../values/writer.js";
import { captureContext } from "../context.js";
import { abortedError, fromNative, internalError } from "../failures.js";
import { isOurs } from "../foreign.js";
import type { Answer } from "../functions/imports.js";
import { native } from "../native/native.js";
import {
  Resumption,
  Step,
  StopReason,
  stepFunction,
  stepKind,
  stepLength,
} from "../native/numbers.js";
import { onAbort } from "../signals.js";
import { TIMER_MAX } from "../timers.js";
import { AsyncHost, type Resumable } from "./async-host.js";
import { endingOf, needsHost } from "./endings.js";
import { possible } from "./life.js";
import type { Outputs } from "./outputs.js";
import { deliver, type Request, type Run } from "./run.js";
import { leave } from "./running.js";
import type { Status } from "./status.js";

/** The runs of one sandbox. */
export class Runs implements Resumable {
  readonly messageLimits: MessageLimits;
  readonly #status: Status;
  readonly #host: AsyncHost;
  /** The one in progress. */
  #run: Run | undefined;

  constructor(status: Status, outputs: Outputs) {
    this.messageLimits = status.messageLimits;
    this.#status = status;
    this.#host = new AsyncHost(this, status.input, outputs);
  }

  /** Makes a run, which `begin` hands to the native side when it is its turn; a restore `recovers`. */
  enqueue<T>(request: Request<T>, begin: (run: Run) => boolean, recovers = false): Promise<T> {
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
        phase: "open",
        turn: 0,
      };
      this.#status.queue.push(run);
      this.next();
    });
  }

  /** Begins the next queued run, if nothing else is in progress. */
  next(): void {
    const status = this.#status;
    const { life } = status;
    if (!life.isFree) return;
    const run = status.queue.shift();
    if (run === undefined) return;
    status.life = possible(run.recovers ? life.next.beginRestore : life.next.begin, life);
    this.#run = run;
    status.listen();
    let error: AmpouleError | undefined;
    try {
      if (!run.begin(run)) error = fromNative(native().stopped(status.handle));
    } catch (problem) {
      error = isOurs(problem) ? problem : internalError(problem);
    }
    if (error !== undefined) this.#fail(run, error);
  }

  /** Handles a step of the native side's. */
  step(step: number): void {
    const run = this.#run;
    if (run === undefined || run.phase === "ended") return;
    const kind = stepKind(step);
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
      const target = this.#status.imports[stepFunction(step)];
      const values = target?.arguments(length) ?? "there is no such host function";
      this.#afterRecords(run, step, () => this.#host.hostCall(run, target, values));
    } else if (!needsHost(kind)) {
      this.#end(run, step);
    } else if (kind === Step.output) {
      this.#afterRecords(run, step, () => this.resume(run, [Resumption.continue, 0]));
    } else if (kind === Step.input) {
      this.#afterRecords(run, step, () => this.#host.provideInput(run));
    } else {
      this.#afterRecords(run, step, () => this.#host.sleep(run, length));
    }
  }

  /** Hands on what the guest has recorded and written, and then goes on with `next`. */
  #afterRecords(run: Run, step: number, next: () => void): void {
    const goOn = (): void => this.#host.afterOutput(run, step, next);
    const rest = run.recording?.absorb();
    if (rest === undefined) goOn();
    else {
      const turn = ++run.turn;
      rest.then(() => {
        if (this.isCurrent(run, turn)) goOn();
      });
    }
  }

  // Waiting for the host

  isCurrent(run: Run, turn: number): boolean {
    return this.#run === run && run.turn === turn && run.verdict === undefined;
  }

  resume(run: Run, [resumption, length]: Answer): void {
    if (run.verdict !== undefined) return;
    const { handle } = this.#status;
    if (!native().resumeAsync(handle, resumption, length)) {
      this.#fail(run, fromNative(native().stopped(handle), run.thrown));
    }
  }

  breakOff(run: Run, error: AmpouleError): void {
    if (this.#run === run) this.#interrupt(run, StopReason.aborted, error);
  }

  // Stopping

  /** Ends the run in progress with `verdict`; the native side reports when the guest has stopped. */
  #interrupt(run: Run, reason: number, verdict: AmpouleError): void {
    if (run.verdict !== undefined || run.phase === "ended") return;
    run.verdict = verdict;
    if (run.phase === "over") this.#settle(run, verdict, undefined);
    else native().kill(this.#status.handle, reason);
  }

  #abort(run: Run): void {
    const error = abortedError(run.what, run.signal);
    if (this.#run === run) {
      this.#interrupt(run, StopReason.aborted, error);
      return;
    }
    if (this.#status.queue.withdraw(run)) run.reject(error);
  }

  /** The sandbox was closed while a run was in progress. */
  close(error: AmpouleError): void {
    if (this.#run !== undefined) this.#interrupt(this.#run, StopReason.closed, error);
  }

  /** A kill has hit the run in progress, of which the native side knows already. */
  kill(error: AmpouleError): void {
    const run = this.#run;
    if (run === undefined) return;
    run.verdict ??= error;
    if (run.phase === "over") this.#settle(run, run.verdict, undefined);
  }

  // Ending

  /** The guest has come to an end. */
  #end(run: Run, step: number): void {
    let value: unknown;
    let error: unknown;
    try {
      value = run.finish(endingOf(this.#status.handle, step, run.what, run.thrown));
    } catch (problem) {
      error = problem;
    }
    this.#status.conclude(step, isOurs(error) ? error : undefined);
    run.phase = "over";
    this.#host.lastOutput(run, step, error === undefined, (failure) => {
      if (run.verdict === undefined) this.#settle(run, error ?? failure, value);
    });
  }

  /** Ends `run` with `error`, after the final step `step` if the native side came to one. */
  #fail(run: Run, error: AmpouleError, step: number = Step.none): void {
    const status = this.#status;
    const kind = stepKind(step);
    if (kind === Step.snapshot) {
      native().closeSnapshot(native().takeSnapshot(status.handle, status.name));
    }
    if (kind === Step.none && run.recovers) status.break(error);
    else status.annul(step, error);
    this.#settle(run, error, undefined);
  }

  /** Ends `run` with `error`, or with `value` if there is none. */
  #settle(run: Run, error: unknown, value: unknown): void {
    if (run.phase === "ended") return;
    run.stopListening();
    run.phase = "ended";
    const status = this.#status;
    status.life = possible(status.life.next.settle, status.life);
    // While the sandbox still counts as running: code of the user's runs in there.
    const rest = run.recording?.end(error);
    if (rest === undefined) {
      this.#leave();
      deliver(run, error, value);
      this.next();
      return;
    }
    // A long trace holds up neither a failure nor, behind its own deadline, a result.
    const left = run.times.timeoutMs - (run.recording?.seconds ?? 0) * 1000;
    if (error !== undefined || left <= 0) deliver(run, error, value);
    const deadline =
      left < TIMER_MAX ? setTimeout(() => deliver(run, error, value), left) : undefined;
    rest.then(() => {
      clearTimeout(deadline);
      this.#leave();
      deliver(run, error, value);
      this.next();
    });
  }

  /** Nothing of the run is going on any more. */
  #leave(): void {
    leave(this.#status.handle);
    this.#host.end();
    this.#run = undefined;
    this.#status.leave();
  }
}
