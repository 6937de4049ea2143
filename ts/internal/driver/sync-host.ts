/** The host's part in a call on the JavaScript thread, where nothing can wait. */

import type { MessageLimits } from "../../values/writer.js";
import { type Thrown, thrown } from "../failures.js";
import {
  type Answer,
  answerWith,
  asyncMistake,
  type Import,
  stageFailure,
} from "../functions/imports.js";
import { native } from "../native/native.js";
import {
  Resumption,
  Step,
  stepFunction,
  stepHasOutput,
  stepKind,
  stepLength,
} from "../native/numbers.js";
import { staging } from "../native/staging.js";
import type { CallTrace } from "../telemetry/call.js";
import { forget, isThenable } from "../thenable.js";
import type { Input } from "./input.js";
import type { Outputs } from "./outputs.js";

/** Nobody ever wakes this: waiting for it is how a thread sleeps. */
const SLEEPER = new Int32Array(new SharedArrayBuffer(4));
/** How long a sleep may overlook that the sandbox was stopped. */
const SLICE_MS = 10;

/** What is remembered of a call from step to step. */
export interface SyncCall {
  recording: CallTrace | undefined;
  thrown: Thrown | undefined;
}

/** Answers the steps of one sandbox at once. */
export class SyncHost {
  readonly #handle: number;
  readonly #input: Input;
  readonly #outputs: Outputs;

  constructor(handle: number, input: Input, outputs: Outputs) {
    this.#handle = handle;
    this.#input = input;
    this.#outputs = outputs;
  }

  /** Does what the guest needs and returns how to resume it. Throws what breaks the call off. */
  answer(
    step: number,
    imports: readonly Import[],
    messageLimits: MessageLimits,
    call: SyncCall,
  ): Answer {
    const kind = stepKind(step);
    if (kind !== Step.hostCall) {
      call.recording?.absorb();
      this.drain(step);
      if (kind === Step.output) return [Resumption.continue, 0];
      if (kind === Step.sleep) {
        this.#sleep(stepLength(step));
        return [Resumption.continue, 0];
      }
      const chunk = this.#input.next();
      if (isThenable(chunk)) {
        forget(chunk);
        throw asyncMistake("stdin");
      }
      if (chunk === null) return [Resumption.endOfInput, 0];
      staging(chunk.length).set(chunk);
      return [Resumption.input, chunk.length];
    }
    const target = imports[stepFunction(step)];
    const values = target?.arguments(stepLength(step)) ?? "there is no such host function";
    call.recording?.absorb();
    this.drain(step);
    if (target === undefined || typeof values === "string") {
      call.recording?.failHost(thrown(values));
      return [Resumption.hostError, stageFailure(String(values), messageLimits)];
    }
    const fail = (failure: Thrown): void => {
      call.thrown = failure;
      call.recording?.failHost(failure);
    };
    try {
      const result = target.call(values, call.recording);
      if (isThenable(result)) {
        forget(result);
        throw asyncMistake(`host function ${target.name}`);
      }
      const answer = answerWith(target, result, messageLimits, fail);
      call.recording?.endHost();
      return answer;
    } catch (error) {
      const failure = thrown(error);
      fail(failure);
      return [Resumption.hostError, stageFailure(failure.message, messageLimits)];
    }
  }

  /** Keeps the thread as long as the guest wants to sleep, looking for a kill from elsewhere. */
  #sleep(milliseconds: number): void {
    const end = performance.now() + milliseconds;
    for (let left = milliseconds; left > 0; left = end - performance.now()) {
      Atomics.wait(SLEEPER, 0, 0, Math.min(left, SLICE_MS));
      if (native().isStopping(this.#handle)) return;
    }
  }

  /** Hands pending output on. */
  drain(step: number): void {
    const broken = stepHasOutput(step) ? this.#outputs.drainSync() : undefined;
    if (broken !== undefined) throw broken.error;
  }
}
