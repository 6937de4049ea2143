/** What `Sandbox.create` and `run` share: making the native sandbox and its driver. */
import { intern } from "../native/contents.js";
import { native } from "../native/native.js";
import { type Checked, nativeLimits } from "../options/derived.js";
import type { Loaded } from "../options/sources.js";
import { refuseAborted } from "../signals.js";
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

/** What a sandbox has of its own. */
type Instance = Checked<"limits" | "stdin" | "signal">;

/** Makes a sandbox in which nothing has run yet. */
export function makeDriver(
  name: string,
  guest: Instance & Checked<"args" | "env" | "memory">,
  { executable, files }: Loaded,
  channel: boolean,
  surroundings: Surroundings,
): Driver {
  refuseAborted(guest.signal, `guest ${JSON.stringify(name)}`);
  listen();
  const { message: messageBytes, stack: stackBytes } = guest.limits;
  const handle = native().create({
    name,
    executable: intern(executable),
    arguments: guest.args,
    environment: guest.env,
    files: files.map(({ path, contents }) => ({ path, contents: intern(contents) })),
    memoryBytes: guest.memory,
    stackBytes,
    ...(channel ? { messageBytes } : {}),
    limits: nativeLimits(guest.limits),
    restoreAfterCall: surroundings.restoresAfterCalls,
  });
  return newDriver(handle, name, guest, messageBytes, surroundings);
}

/** Makes a sandbox that begins as native snapshot number `snapshot`. */
export function makeDriverFrom(
  snapshot: number,
  messageBytes: number,
  name: string,
  instance: Instance,
  surroundings: Surroundings,
): Driver {
  refuseAborted(instance.signal, `guest ${JSON.stringify(name)}`);
  listen();
  const limits = nativeLimits(instance.limits);
  const { restoresAfterCalls } = surroundings;
  const handle = native().createFromSnapshot(snapshot, limits, restoresAfterCalls);
  return newDriver(handle, name, instance, messageBytes, surroundings);
}

function newDriver(
  handle: number,
  name: string,
  { stdin, limits }: Instance,
  messageBytes: number,
  surroundings: Surroundings,
): Driver {
  const input = new Input(stdin);
  const messageLimits = { bytes: messageBytes, items: limits.items };
  return new Driver({ handle, name, messageLimits, input, ...surroundings });
}
