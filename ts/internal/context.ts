/** The async context of a caller, in which code of the caller's runs later. */
import { AsyncResource } from "node:async_hooks";

/** Runs something in the context in which {@link captureContext} was called. */
export type InContext = <R>(body: () => R) => R;

/**
 * Remembers the context of this moment.
 *
 * Not by `AsyncLocalStorage.snapshot()`, which does the same and gives the function that it makes
 * properties of its own: that is 15 us on Node.js 20, half of what a call takes.
 */
export function captureContext(): InContext {
  const resource = new AsyncResource("AMPOULE");
  return (body) => resource.runInAsyncScope(body);
}
