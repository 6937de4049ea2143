/** Abort signals: whether they have fired, and one listener each, however many calls they are given to. */
import { AmpouleError } from "../errors.js";
import { peek } from "./foreign.js";
import { invalid } from "./options/checks.js";

/** What is to be done when a signal fires. */
const acts = new WeakMap<
  AbortSignal,
  { readonly all: Set<() => void>; readonly fire: () => void }
>();

/**
 * Does `act` when `signal` fires, and returns how to take that back. Node.js warns of a leak where an
 * eleventh listener is added; a request's signal is given to more calls than that.
 */
export function onAbort(signal: AbortSignal | undefined, act: () => void): () => void {
  if (signal === undefined) return nothing;
  const known = acts.get(signal) ?? listen(signal);
  known.all.add(act);
  return () => {
    if (!known.all.delete(act) || known.all.size > 0) return;
    acts.delete(signal);
    try {
      signal.removeEventListener("abort", known.fire);
    } catch {
      // It has nobody left to call.
    }
  };
}

function listen(signal: AbortSignal): { all: Set<() => void>; fire: () => void } {
  const all = new Set<() => void>();
  const fire = (): void => {
    acts.delete(signal);
    for (const act of [...all]) act();
  };
  try {
    signal.addEventListener("abort", fire, { once: true });
  } catch (cause) {
    throw invalid("signal", "cannot be listened to", cause);
  }
  const made = { all, fire };
  acts.set(signal, made);
  return made;
}

function nothing(): void {}

/** Throws if `signal` has fired already. */
export function refuseAborted(signal: AbortSignal | undefined, what: string): void {
  if (!signal?.aborted) return;
  throw new AmpouleError("ERR_AMPOULE_ABORTED", `${what} was aborted before it began`, {
    cause: peek(signal, "reason"),
  });
}

/** Waits for `work`; if the signal fired meanwhile, that is the error, whatever `work` says. */
export async function unlessAborted<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  what: string,
): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof AmpouleError)) refuseAborted(signal, what);
    throw error;
  }
}
