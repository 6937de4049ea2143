/** Promises that are not ours: of other realms and libraries, and what only looks like one. */

/** Whether `value` is to be waited for. One whose `then` cannot be read is: waiting tells why. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  if (typeof value !== "object" || value === null) return false;
  try {
    return typeof (value as { then?: unknown }).then === "function";
  } catch {
    return true;
  }
}

/**
 * A promise of ours that settles as `value` does. Whatever a foreign one throws is a rejection.
 *
 * Not by `Promise.resolve`, which reads a property of the promise on this stack.
 */
export function adopt<T>(value: T | PromiseLike<T>): Promise<T> {
  return new Promise((resolve) => resolve(value));
}

/** Lets `value` be, if it is a promise: how it settles is nobody's business any more. */
export function forget(value: unknown): void {
  if (isThenable(value)) adopt(value).then(undefined, () => {});
}
