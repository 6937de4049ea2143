/** What `Sandbox.create` and `run` share: making the native sandbox and its driver. */
import { AmpouleError } from "../errors.js";
import type { ResolvedGuest } from "../options.js";
import { native } from "./native.js";
import { listen } from "./running.js";
import { Driver } from "./steps.js";
import { Input, type Sink } from "./streams.js";

/** Makes a sandbox in which nothing has run yet. */
export function makeDriver(
  guest: ResolvedGuest,
  channel: boolean,
  sinks: { readonly stdout: Sink; readonly stderr: Sink },
): Driver {
  refuseAborted(guest.signal, `guest ${JSON.stringify(guest.name)}`);
  listen();
  const { messageBytes, outputBytes, hostCalls } = guest;
  const handle = native().create({
    name: guest.name,
    executable: guest.executable,
    arguments: guest.arguments,
    environment: guest.environment,
    files: guest.files,
    memoryBytes: guest.memoryBytes,
    stackBytes: guest.stackBytes,
    valueDepth: guest.valueDepth,
    ...(channel ? { messageBytes } : {}),
    ...(Number.isFinite(outputBytes) ? { outputBytes } : {}),
    ...(Number.isFinite(hostCalls) ? { hostCalls } : {}),
  });
  return new Driver({
    handle,
    name: guest.name,
    messageBytes,
    input: new Input(guest.stdin),
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
