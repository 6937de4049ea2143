/** Calls on this thread: a loop that answers the guest's steps until the last one. */
import type { AmpouleError } from "../../errors.js";
import { fromNative, internalError, worded } from "../failures.js";
import { isOurs } from "../foreign.js";
import { native } from "../native/native.js";
import { Step, StopReason, stepKind } from "../native/numbers.js";
import { onAbort } from "../signals.js";
import { endingOf, needsHost } from "./endings.js";
import { possible } from "./life.js";
import type { Outputs } from "./outputs.js";
import type { Request } from "./run.js";
import type { Status } from "./status.js";
import { type SyncCall, SyncHost } from "./sync-host.js";

/** The calls of one sandbox on this thread, of which there is one at a time. */
export class SyncCalls {
  readonly #status: Status;
  readonly #host: SyncHost;

  constructor(status: Status, outputs: Outputs) {
    this.#status = status;
    this.#host = new SyncHost(status.handle, status.input, outputs);
  }

  /** Calls export number `functionId`, whose arguments stand in the staging buffer, and waits. */
  call<T>(request: Request<T>, functionId: number, length: number): T {
    const status = this.#status;
    const { handle } = status;
    const { times, signal } = request;
    const stopListening = onAbort(signal, () => native().kill(handle, StopReason.aborted));
    status.life = possible(status.life.next.beginCall, status.life);
    const call: SyncCall = { recording: undefined, thrown: undefined };
    let step = 0;
    try {
      call.recording = status.telemetry.begin(request, length);
      step = native().callSync(handle, functionId, length, times.timeoutMs, times.cpuTimeMs);
      for (;;) {
        const kind = stepKind(step);
        if (needsHost(kind)) {
          const { imports, messageLimits } = status;
          const [resumption, size] = this.#host.answer(step, imports, messageLimits, call);
          step = native().resumeSync(handle, resumption, size);
        } else {
          const value = request.finish(endingOf(handle, step, request.what, call.thrown));
          this.#host.drain(step);
          status.conclude(step, undefined);
          call.recording?.end(undefined);
          return value;
        }
      }
    } catch (problem) {
      const error = this.#failure(problem, step, request);
      call.recording?.end(error);
      throw error;
    } finally {
      stopListening();
      status.leave();
    }
  }

  /** The error of a call, after the status has been brought in line with it. */
  #failure(problem: unknown, step: number, request: Request<unknown>): unknown {
    const status = this.#status;
    const kind = stepKind(step);
    const error = isOurs(problem) ? problem : internalError(problem);
    if (kind === Step.stopped || kind === Step.exited) {
      const final = worded(error, status.name, request);
      status.conclude(step, final);
      return final;
    }
    if (needsHost(kind)) {
      this.#abandon(error);
    } else if (status.restoresAfterCalls) {
      status.conclude(step, error);
    }
    return error;
  }

  /** The call was broken off: the guest waits for an answer that will never come. */
  #abandon(error: AmpouleError): void {
    const status = this.#status;
    const { handle } = status;
    if (status.restoresAfterCalls && status.state !== "closed" && !native().isStopping(handle)) {
      const step = native().restoreSync(handle, 0);
      if (stepKind(step) === Step.restored) status.restored(0);
      else status.break(fromNative(native().stopped(handle)));
      return;
    }
    native().kill(handle, StopReason.aborted);
    status.poison(error);
  }
}
