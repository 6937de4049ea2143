/** What `Sandbox.create` and `run` share: making the native sandbox and its driver. */
import { AmpouleError } from "../../errors.js";
import type { CheckedLimits, ResolvedGuest, ResolvedInstance } from "../../options.js";
import { peek } from "../foreign.js";
import { intern } from "../native/contents.js";
import { type NativeLimits, native } from "../native/native.js";
import type { TelemetrySettings } from "../telemetry/sandbox.js";
import { Driver } from "./driver.js";
import { Input } from "./input.js";
import type { Sink } from "./outputs.js";
import { listen } from "./running.js";

/** What the host does for and with a sandbox, whatever its guest is. */
export interface Surroundings {
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly restoresAfterCalls: boolean;
  readonly telemetry: TelemetrySettings;
}

/** Makes a sandbox in which nothing has run yet. */
export function makeDriver(
  guest: ResolvedGuest,
  channel: boolean,
  surroundings: Surroundings,
): Driver {
  refuseAborted(guest.signal, `guest ${JSON.stringify(guest.name)}`);
  listen();
  const { messageBytes } = guest;
  const handle = native().create({
    name: guest.name,
    executable: intern(guest.executable),
    arguments: guest.arguments,
    environment: guest.environment,
    files: guest.files.map(({ path, contents }) => ({ path, contents: intern(contents) })),
    memoryBytes: guest.memoryBytes,
    stackBytes: guest.stackBytes,
    ...(channel ? { messageBytes } : {}),
    limits: nativeLimits(guest.checked),
    restoreAfterCall: surroundings.restoresAfterCalls,
  });
  return newDriver(handle, guest, messageBytes, surroundings);
}

/** Makes a sandbox that begins as native snapshot number `snapshot`. */
export function makeDriverFrom(
  snapshot: number,
  messageBytes: number,
  instance: ResolvedInstance,
  surroundings: Surroundings,
): Driver {
  refuseAborted(instance.signal, `guest ${JSON.stringify(instance.name)}`);
  listen();
  const limits = nativeLimits(instance.checked);
  const { restoresAfterCalls } = surroundings;
  const handle = native().createFromSnapshot(snapshot, limits, restoresAfterCalls);
  return newDriver(handle, instance, messageBytes, surroundings);
}

function nativeLimits(checked: CheckedLimits): NativeLimits {
  const { outputBytes, hostCalls, traceBytes, valueDepth, valueItems } = checked;
  return {
    valueDepth,
    valueItems,
    ...(Number.isFinite(outputBytes) ? { outputBytes } : {}),
    ...(Number.isFinite(hostCalls) ? { hostCalls } : {}),
    ...(Number.isFinite(traceBytes) ? { traceBytes } : {}),
  };
}

function newDriver(
  handle: number,
  { name, stdin, checked }: ResolvedInstance,
  messageBytes: number,
  surroundings: Surroundings,
): Driver {
  const input = new Input(stdin);
  const messageLimits = { bytes: messageBytes, items: checked.valueItems };
  return new Driver({ handle, name, messageLimits, input, ...surroundings });
}

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
