/** What the steps of a run mean. */
import { readError } from "../../values/message.js";
import { fromGuest, fromNative, signalName, type Thrown } from "../failures.js";
import { native } from "../native/native.js";
import { Step, stepKind, stepLength } from "../native/numbers.js";
import { staging } from "../native/staging.js";
import type { Ending } from "./run.js";

/** Whether the guest goes on only when the host has done something. */
export function needsHost(kind: number): boolean {
  return (
    kind === Step.hostCall || kind === Step.output || kind === Step.input || kind === Step.sleep
  );
}

/**
 * What the final step `step` of sandbox `handle` means for the run that is named `what`; throws the
 * error that it stands for.
 */
export function endingOf(
  handle: number,
  step: number,
  what: string,
  thrown: Thrown | undefined,
): Ending {
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
      const { code, signal } = native().exit(handle);
      return { kind: "exited", code, signal: signalName(signal) };
    }
    default:
      throw fromNative(native().stopped(handle), thrown);
  }
}
