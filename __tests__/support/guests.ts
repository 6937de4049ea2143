/** The guests that tests use, as `cargo xtask guests` builds them. */
import { fileURLToPath } from "node:url";
import { afterEach } from "@jest/globals";
import {
  type CreateOptions,
  Sandbox,
  type SandboxOptions,
  type SandboxStatistics,
} from "../../ts/index.js";

const RELEASE = "../../guests/target/x86_64-unknown-linux-gnu/release/";

/** Path of a Rust guest. */
export function rustGuest(name: string): string {
  return fileURLToPath(new URL(RELEASE + name, import.meta.url));
}

/** Path of a C program, by libc. */
export function cProgram(name: string, libc: "glibc" | "musl"): string {
  return fileURLToPath(new URL(`../../guests/target/c/${name}-${libc}`, import.meta.url));
}

/** Debian's static busybox. */
export const BUSYBOX = "/bin/busybox";

/** Host functions of the guest `testing` that do what their names say. */
export const HOST_FUNCTIONS = {
  fetch_number: (id: number): number | Promise<number> => id * 2,
  fetch_user: (id: number): unknown => (id === 1 ? { id, name: "Ada" } : null),
  log_line: (_line: string): void => {},
  transform: (bytes: Uint8Array): unknown => bytes.map((byte) => byte + 1),
  describe_values: (...values: unknown[]): unknown => values.map(String).join(" "),
};

const open = new Set<Sandbox>();

afterEach(async () => {
  await Promise.all([...open].map((sandbox) => sandbox.close()));
  open.clear();
});

/** The guest `testing`; closed after the test. */
export async function testing(
  options: Partial<SandboxOptions & { hostFunctions: object }> = {},
): Promise<Sandbox> {
  const given = { guest: rustGuest("testing"), stdout: "ignore", stderr: "ignore", ...options };
  const hostFunctions = { ...HOST_FUNCTIONS, ...options.hostFunctions };
  const sandbox = await Sandbox.create({ ...given, hostFunctions } as CreateOptions);
  open.add(sandbox);
  return sandbox;
}

/** Any function of a sandbox whose guest has no declaration here. */
export function sync(sandbox: Sandbox, name: string): (...args: unknown[]) => unknown {
  return sandbox.callSync[name] as (...args: unknown[]) => unknown;
}

/** Like {@link sync}, asynchronous. */
export function async(sandbox: Sandbox, name: string): (...args: unknown[]) => Promise<unknown> {
  return sandbox.call[name] as (...args: unknown[]) => Promise<unknown>;
}

/** Exits that the guest made. How often the host interrupts one depends on what the machine does besides. */
export function ownExits({ exits, interruptions }: SandboxStatistics): number {
  return exits - interruptions;
}

/** What `work` throws or rejects with. */
export async function failureOf(work: () => unknown): Promise<Record<string, unknown>> {
  try {
    await work();
  } catch (error) {
    return error as Record<string, unknown>;
  }
  throw new Error("it did not fail");
}
