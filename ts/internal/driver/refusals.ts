/** The errors of a sandbox that cannot do what it is asked for. */
import type { AmpouleError } from "../../errors.js";
import type { SandboxState } from "../../state.js";
import { sandboxError } from "../failures.js";

/** The error for using sandbox `name` in that state, after that failure; `undefined` if it is usable. */
export function unusable(
  name: string,
  state: SandboxState,
  failure: AmpouleError | null,
): AmpouleError | undefined {
  switch (state) {
    case "closed":
      return closed(name);
    case "poisoned": {
      const why = failure?.code ?? "an earlier failure";
      return sandboxError(name, "ERR_AMPOULE_POISONED", `cannot be used since ${why}`, failure);
    }
    case "broken": {
      const what = "is broken since a restore failed; restore it again, or close it";
      return sandboxError(name, "ERR_AMPOULE_BROKEN", what, failure);
    }
    default:
      return undefined;
  }
}

export function closed(name: string): AmpouleError {
  return sandboxError(name, "ERR_AMPOULE_CLOSED", "is closed");
}

/** The error for a call from within a host function that the sandbox waits for. */
export function reentrant(name: string): AmpouleError {
  const what = "waits for the host function that calls it";
  return sandboxError(name, "ERR_AMPOULE_REENTRANT", what);
}

/** The error for what can only begin in a sandbox where nothing runs; `instead` says what could. */
export function busy(name: string, instead: string): AmpouleError {
  return sandboxError(name, "ERR_AMPOULE_BUSY", instead);
}
