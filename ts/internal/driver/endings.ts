/** What the steps of a run mean. */
import { readError } from "../../values/message.js";
import { fromGuest, fromNative, signalName, type Thrown } from "../failures.js";
import { native } from "../native/native.js";
import { Condition, Step, stepCondition, stepKind, stepLength } from "../native/numbers.js";
import { staging } from "../native/staging.js";
import type { Ending } from "./run.js";

/** How a call can end. */
const ENDS_OF_CALLS = new Set<number>([Step.return, Step.guestError, Step.stopped]);

/**
 * What the final step of a run leaves the sandbox in:
 *
 * - `ready`: as it was before, the run has come to nothing,
 * - `changed`: with whatever the guest has done,
 * - `restored`: as what it was made from, because that follows each call in it,
 * - `poisoned` or `broken`.
 */
export type LeftBehind = "ready" | "changed" | "restored" | "poisoned" | "broken";

/** What `step` leaves behind in a sandbox that `restoresAfterCalls`, or does not. */
export function leftBehind(step: number, restoresAfterCalls: boolean): LeftBehind {
  const kind = stepKind(step);
  const condition = stepCondition(step);
  if (condition === Condition.broken) return "broken";
  const isReady = condition === Condition.ready;
  if (!isReady && (kind === Step.stopped || kind === Step.exited)) return "poisoned";
  if (restoresAfterCalls && ENDS_OF_CALLS.has(kind)) return "restored";
  return isReady ? "ready" : "changed";
}

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
