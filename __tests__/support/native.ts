/** Running programs natively, to compare. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { expect, test } from "@jest/globals";
import { type RunOptions, type RunResult, run } from "../../ts/index.js";

/** What a program is given, natively and in a micro-VM alike. */
export interface Load {
  readonly args?: readonly string[];
  readonly stdin?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  /** Files that the native program finds under the same path. */
  readonly files?: RunOptions["files"];
}

/** Runs `program` natively and in a micro-VM, expects the same, and returns what came of the latter. */
export async function sameAsNative(program: string, load: Load = {}): Promise<RunResult> {
  const { args = [], stdin = "", env = {}, files = {} } = load;
  const native = spawnSync(program, args, {
    input: stdin,
    env,
    argv0: program,
    maxBuffer: 2 ** 30,
  });
  // A program need not read its input.
  const { code } = (native.error ?? {}) as NodeJS.ErrnoException;
  if (native.error !== undefined && code !== "EPIPE") throw native.error;
  const guest = await run(program, { args, stdin, env, files, name: program });
  // As texts when they are short, so that a failure shows what differs.
  expect(shown(guest.stderr)).toEqual(shown(native.stderr));
  expect(shown(guest.stdout)).toEqual(shown(native.stdout));
  expect(Buffer.compare(guest.stdout, native.stdout)).toBe(0);
  expect([guest.exitCode, guest.signal]).toEqual([native.status, native.signal]);
  return guest;
}

function shown(bytes: Uint8Array): string {
  return Buffer.from(bytes.subarray(0, 4096)).toString();
}

/** `test` for programs of the machine: skipped loudly, or failed where nothing may be skipped. */
export function testWithProgram(
  program: string,
  install: string,
): (name: string, body: () => void | Promise<void>) => void {
  if (existsSync(program)) return test;
  const reason = `${program} is missing (${install})`;
  if (process.env["AMPOULE_REQUIRE_KVM"] !== "1") {
    console.warn(`SKIPPED: ${reason}`);
    return test.skip;
  }
  return (name) => {
    test(name, () => {
      throw new Error(reason);
    });
  };
}
