/** What a run leaves the sandbox in. */
import { Condition, Step, stepCondition, stepKind } from "../native/numbers.js";

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
