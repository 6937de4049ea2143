/** What `Sandbox.create` and `run` share: making the native sandbox and its driver. */
import { AmpouleError } from "../errors.js";
import type { ResolvedGuest } from "../options.js";
import { fromNative } from "./failures.js";
import { native } from "./native.js";
import { Driver } from "./steps.js";
import { Input, type Sink } from "./streams.js";

/** Makes a sandbox in which nothing has run yet. */
export function makeDriver(
  guest: ResolvedGuest,
  channel: boolean,
  sinks: { readonly stdout: Sink; readonly stderr: Sink },
): Driver {
  refuseAborted(guest.signal, `guest ${JSON.stringify(guest.name)}`);
  const { times: _times, stdin, signal: _signal, ...config } = guest;
  const { handle, error } = native().create({ ...config, channel });
  if (error !== undefined) throw fromNative(error);
  return new Driver({
    handle: handle as number,
    name: guest.name,
    messageBytes: guest.messageBytes,
    input: new Input(stdin),
    ...sinks,
  });
}

/** Throws if `signal` has fired already. */
export function refuseAborted(signal: AbortSignal | undefined, what: string): void {
  if (!signal?.aborted) return;
  throw new AmpouleError("ERR_AMPOULE_ABORTED", `${what} was aborted before it began`, {
    cause: signal.reason,
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
