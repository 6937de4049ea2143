/** The host's part in an asynchronous call: what the guest waits for, without a thread that waits. */
import type { AmpouleError } from "../../errors.js";
import type { MessageLimits } from "../../values/writer.js";
import { internalError, outOfTime, sourceError, type Thrown, thrown } from "../failures.js";
import { type Answer, answerWith, type Import, stageFailure } from "../functions/imports.js";
import { Resumption, stepHasOutput } from "../native/numbers.js";
import { staging } from "../native/staging.js";
import { runInScope } from "../scope.js";
import { adopt, forget, isThenable } from "../thenable.js";
import { TIMER_MAX } from "../timers.js";
import type { Input } from "./input.js";
import type { Outputs } from "./outputs.js";
import type { Run } from "./run.js";

/** Whose runs are answered. */
export interface Resumable {
  readonly messageLimits: MessageLimits;
  /** Whether `run` still waits for the answer that it waited for in that turn. */
  isCurrent(run: Run, turn: number): boolean;
  resume(run: Run, answer: Answer): void;
  /** Ends the run, because something of the user's has failed. */
  breakOff(run: Run, error: AmpouleError): void;
}

/** Answers the steps of one sandbox, each when the user's part of it is done. */
export class AsyncHost {
  readonly #driver: Resumable;
  readonly #input: Input;
  readonly #outputs: Outputs;
  /** Wakes a sleeping guest; a stop must not leave it behind, it may be set for weeks. */
  #alarm: NodeJS.Timeout | undefined;

  constructor(driver: Resumable, input: Input, outputs: Outputs) {
    this.#driver = driver;
    this.#input = input;
    this.#outputs = outputs;
  }

  /** Forgets what a run that has ended was waiting for. */
  end(): void {
    clearTimeout(this.#alarm);
  }

  /** Hands pending output on and then goes on with `next`, later if a stream is full. */
  afterOutput(run: Run, step: number, next: () => void): void {
    if (!stepHasOutput(step)) {
      next();
      return;
    }
    const turn = run.turn;
    const { result: handed, leave } = runInScope(this.#driver, () => this.#outputs.drain());
    if (isThenable(handed)) {
      const fail = (error: unknown): void =>
        this.#driver.breakOff(run, sourceError("output", error));
      this.#wait(run, handed, next, fail, leave);
      return;
    }
    leave();
    // The user's function may have ended the run.
    if (!this.#driver.isCurrent(run, turn)) return;
    if (handed === undefined) next();
    else this.#driver.breakOff(run, handed.error);
  }

  /**
   * Hands on what a run has written last and calls `done`, with what went wrong if something has.
   * `waits`: it may still fail by that. The guest is not there any more to keep the deadline: whoever
   * is handed output has that time again.
   */
  lastOutput(
    run: Run,
    step: number,
    waits: boolean,
    done: (error: AmpouleError | undefined) => void,
  ): void {
    if (!stepHasOutput(step)) {
      done(undefined);
      return;
    }
    const { result: handed, leave } = runInScope(this.#driver, () => this.#outputs.drain(true));
    if (!isThenable(handed) || !waits) {
      leave();
      forget(handed);
      done(isThenable(handed) ? undefined : handed?.error);
      return;
    }
    const fail = (error: unknown): void => done(sourceError("output", error));
    this.#wait(run, handed, () => done(undefined), fail, leave);
    const { turn } = run;
    const { timeoutMs } = run.times;
    if (timeoutMs > TIMER_MAX) return;
    this.#alarm = setTimeout(() => {
      if (!this.#driver.isCurrent(run, turn)) return;
      done(outOfTime(run.what, timeoutMs, "waiting for whoever gets its output"));
    }, timeoutMs);
  }

  /** Runs a host function and resumes with its answer. */
  hostCall(run: Run, target: Import | undefined, values: unknown[] | string): void {
    if (target === undefined || typeof values === "string") {
      // The guest's own mistake (or lie): it is told, and none of the user's code runs.
      run.recording?.failHost(thrown(values));
      const length = stageFailure(String(values), this.#driver.messageLimits);
      this.#driver.resume(run, [Resumption.hostError, length]);
      return;
    }
    const remember = (failure: Thrown): void => {
      run.thrown = failure;
      run.recording?.failHost(failure);
    };
    const fail = (error: unknown): void => {
      const failure = thrown(error);
      remember(failure);
      const length = stageFailure(failure.message, this.#driver.messageLimits);
      this.#driver.resume(run, [Resumption.hostError, length]);
    };
    const answer = (result: unknown): void => {
      const answered = answerWith(target, result, this.#driver.messageLimits, remember);
      run.recording?.endHost();
      this.#driver.resume(run, answered);
    };
    let call: { result: unknown; leave: () => void };
    const turn = run.turn;
    try {
      call = run.inContext(() =>
        runInScope(this.#driver, () => target.call(values, run.recording)),
      );
    } catch (error) {
      if (this.#driver.isCurrent(run, turn)) fail(error);
      return;
    }
    const { result, leave } = call;
    if (!isThenable(result)) {
      leave();
      if (this.#driver.isCurrent(run, turn)) answer(result);
      return;
    }
    this.#wait(run, result, answer, fail, leave);
  }

  /** Resumes with the next bytes of standard input. */
  provideInput(run: Run): void {
    const give = (chunk: Uint8Array | null): void => {
      if (chunk !== null) staging(chunk.length).set(chunk);
      this.#driver.resume(
        run,
        chunk === null ? [Resumption.endOfInput, 0] : [Resumption.input, chunk.length],
      );
    };
    const fail = (error: unknown): void => this.#driver.breakOff(run, sourceError("stdin", error));
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
  sleep(run: Run, milliseconds: number): void {
    const turn = ++run.turn;
    const wake = (): void => {
      if (this.#driver.isCurrent(run, turn)) this.#driver.resume(run, [Resumption.continue, 0]);
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
      if (!this.#driver.isCurrent(run, turn)) return;
      go(value);
    };
    adopt(promise)
      .then(arrive(next), arrive(fail))
      // A defect of ours: nobody else would hear of it but the process, by its end.
      .catch((problem: unknown) => this.#driver.breakOff(run, internalError(problem)));
  }
}
