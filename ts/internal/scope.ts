/** Which sandboxes wait for the host function that runs now. */
import { AsyncLocalStorage } from "node:async_hooks";

/** One host function in progress, and the ones around it. */
interface Scope {
  readonly owner: object;
  readonly outer: Scope | undefined;
  /** Whether the guest still waits; what a host function leaves behind may call its sandbox again. */
  waiting: boolean;
}

const scopes = new AsyncLocalStorage<Scope>();

/** Runs `body` as a host function of `owner`. Returns its result and how to say that it is done. */
export function runInScope<T>(owner: object, body: () => T): { result: T; leave: () => void } {
  const scope: Scope = { owner, outer: scopes.getStore(), waiting: true };
  const leave = (): void => {
    scope.waiting = false;
  };
  try {
    return { result: scopes.run(scope, body), leave };
  } catch (error) {
    leave();
    throw error;
  }
}

/** Whether this code runs inside a host function that `owner` waits for. */
export function isInside(owner: object): boolean {
  for (let scope = scopes.getStore(); scope !== undefined; scope = scope.outer) {
    if (scope.waiting && scope.owner === owner) return true;
  }
  return false;
}
