/**
 * Every act of the hostile guest ends as its documentation says, with a typed error, and hurts
 * neither this process nor another sandbox. The words before the colon of an act's documentation are
 * the codes it may end with; `survives` is a result.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { expect, test } from "@jest/globals";
import { AmpouleError, GuestExitedError, GuestFaultError, Sandbox } from "../ts/index.js";
import { async, failureOf, rustGuest, sync } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";

const GUEST = rustGuest("hostile");

/**
 * Acts that last for ever are cut off after so long. The others get a deadline that only strikes on
 * a machine that hangs: an act that ends by itself must not be mistaken for one that does not.
 */
const SHORT_MS = 250;
const LONG_MS = 30_000;

/** The first address of the system pages, where descriptor tables and stubs are. */
const SYSTEM_PAGES = 0x7f_8000_0000n;

/** Arguments of the acts that take some. */
const ARGUMENTS: Readonly<Record<string, readonly unknown[]>> = {
  add: [1, 2],
  any_system_call: [39n, [0n, 0n, 0n, 0n, 0n, 0n]],
  exit: [3],
  host_call_unknown: [7],
  jump_into_system_pages: [0x1000n],
  jump_to: [SYSTEM_PAGES],
  map_and_fill: [1n << 30n],
  map_flood: [2000n],
  read_at: [SYSTEM_PAGES],
  signal_itself: [6],
  trace_flood: [20_000],
  trace_raw: [Uint8Array.of(1, 2, 3), null, 1n << 40n, null, true],
  unknown_kind: [6],
  write_at: [SYSTEM_PAGES],
};

/** What acts that survive give, where that says whether they got away with something. */
const HARMLESS_RESULTS: Readonly<Record<string, unknown>> = {
  heap_to_the_sky: 0n,
  map_over_others: 0n,
  ok: "ok",
  reserve_everything: 0n,
  unknown_system_calls: 0n,
  wild_pointers: [],
  write_by_system_call: [],
};

/** Ends that leave the sandbox as it was. */
const HARMLESS_ENDS = ["survives", "GUEST_ERROR", "RESULT"];

interface Act {
  readonly name: string;
  /** The part of its documentation that says how it ends. */
  readonly ends: string;
}

/** The acts as the guest itself tells them, natively: known without a hypervisor. */
function listActs(): Act[] {
  if (!existsSync(GUEST)) throw new Error(`${GUEST} is missing: run \`cargo xtask guests\``);
  const { stdout } = spawnSync(GUEST, ["describe"], { encoding: "utf8" });
  const { exports } = JSON.parse(stdout) as {
    exports: { name: string; documentation: string | null }[];
  };
  return exports.map(({ name, documentation }) => ({
    name,
    // What reads memory may also give what it read.
    ends: (documentation ?? "").split(":", 1)[0]?.replace("`read ..`", "survives") ?? "",
  }));
}

const ACTS = listActs();

function hostile(env: Record<string, string> = {}): Promise<Sandbox> {
  const timeoutMs = env["HOSTILE_INIT"] === "loop" ? SHORT_MS : LONG_MS;
  return Sandbox.create({
    guest: GUEST,
    memory: "32MiB",
    // Small, so that acts without end meet them soon.
    limits: { output: "1MiB", hostCalls: 1000, timeoutMs },
    hostFunctions: { touch: () => {} },
    stdout: "ignore",
    stderr: "ignore",
    env,
  });
}

/** Plays an act in a sandbox of its own. */
async function play({ name, ends }: Act, table: typeof sync | typeof async): Promise<void> {
  const sandbox = await hostile();
  try {
    const timeoutMs = ends.includes("TIMEOUT") ? SHORT_MS : LONG_MS;
    let end = "survives";
    let outcome: unknown;
    try {
      outcome = await table(sandbox, name)(...(ARGUMENTS[name] ?? []), { timeoutMs });
    } catch (error) {
      expect(error).toBeInstanceOf(AmpouleError);
      end = (error as AmpouleError).code.replace("ERR_AMPOULE_", "");
      outcome = error;
    }
    expect(ends).toContain(end);
    if (HARMLESS_ENDS.includes(end)) {
      if (name in HARMLESS_RESULTS) expect(outcome).toEqual(HARMLESS_RESULTS[name]);
      expect([sandbox.state, sandbox.failure]).toEqual(["ready", null]);
      // The guest may have harmed itself; whatever comes of the next call, it is a result or an error.
      await async(sandbox, "ok")().catch((error: unknown) => {
        expect(error).toBeInstanceOf(AmpouleError);
      });
    } else {
      expect([sandbox.state, sandbox.failure]).toEqual(["poisoned", outcome]);
      for (const next of [async, sync]) {
        const refused = await failureOf(() => next(sandbox, "ok")());
        expect([refused["code"], refused["cause"]]).toEqual(["ERR_AMPOULE_POISONED", outcome]);
      }
    }
  } finally {
    await sandbox.close();
  }
  expect(sandbox.state).toBe("closed");
}

describeWithKvm("a hostile guest", () => {
  test("has no act that is not played here", async () => {
    const sandbox = await hostile();
    const names = sandbox.interface.exports.map(({ name }) => name);
    await sandbox.close();
    expect(names).toEqual(ACTS.map(({ name }) => name));
    expect(names.length).toBeGreaterThan(190);
  });

  test.each(ACTS)("$name: $ends", async (act) => {
    await play(act, async);
    await play(act, sync);
  });

  // The acts that the threat model names, with what the error tells about them.
  test.each([
    ["read_null", { fault: "null access", vector: 14, address: "0x0", access: "read" }],
    ["write_null", { fault: "null access", vector: 14, address: "0x0", access: "write" }],
    ["jump_to_null", { fault: "null access", vector: 14, address: "0x0", access: "execute" }],
    ["execute_data", { fault: "execution of data", vector: 14, access: "execute" }],
    ["write_code", { fault: "write to read-only memory", vector: 14, access: "write" }],
    ["stack_overflow", { fault: "stack overflow", vector: 14, access: "write" }],
    ["read_system_pages", { vector: 14, address: "0x7f80000000", access: "read" }],
    ["halt", { vector: 13, address: null, access: null }],
    ["out_serial", { vector: 13, address: null, access: null }],
    ["undefined_instruction", { fault: "invalid instruction", vector: 6, address: null }],
    ["divide_by_zero", { fault: "division error", vector: 0, address: null }],
    ["in_doorbell", { fault: "input or output to a port", port: 0x51 }],
  ])("%s tells what it did and where", async (name, expected) => {
    const sandbox = await hostile();
    const failure = await failureOf(() => async(sandbox, name)());
    await sandbox.close();
    expect(failure).toBeInstanceOf(GuestFaultError);
    const { fault } = failure as unknown as GuestFaultError;
    expect(fault).toMatchObject(expected);
    expect(fault.instruction.address).toMatch(/^0x[\da-f]+$/);
    // Where data is executed there is no function.
    if (fault.access !== "execute") {
      expect(fault.instruction.symbol).toContain(name);
      expect(fault.instruction.offset).toBeGreaterThanOrEqual(0);
    }
  });

  test("tells how it exits", async () => {
    for (const [name, args, expected] of [
      ["exit", [3], { exitCode: 3, signal: null }],
      ["abort", [], { exitCode: null, signal: "SIGABRT" }],
    ] as const) {
      const sandbox = await hostile();
      const failure = await failureOf(() => async(sandbox, name)(...args));
      await sandbox.close();
      expect(failure).toBeInstanceOf(GuestExitedError);
      expect(failure).toMatchObject(expected);
    }
  });

  test.each([
    ["exit", ["GUEST_EXITED"]],
    ["loop", ["TIMEOUT"]],
    ["panic", ["GUEST_ABORT"]],
    ["error", ["GUEST_ABORT"]],
    ["fault", ["GUEST_FAULT"]],
    ["badready", ["INVALID_GUEST", "PROTOCOL"]],
    ["emptyready", ["INVALID_GUEST", "PROTOCOL"]],
    ["hugeready", ["INVALID_GUEST", "PROTOCOL"]],
    ["lyingready", ["PROTOCOL"]],
    ["returnfirst", ["PROTOCOL"]],
    ["hostcallfirst", ["PROTOCOL"]],
    ["wrongsequence", ["PROTOCOL"]],
    ["ringonly", ["PROTOCOL"]],
    ["output", ["OUTPUT_LIMIT"]],
    ["memory", ["MEMORY_LIMIT"]],
  ])("that starts with HOSTILE_INIT=%s is not made: %s", async (act, codes) => {
    const failure = await failureOf(() => hostile({ HOSTILE_INIT: act }));
    expect(failure).toBeInstanceOf(AmpouleError);
    expect(codes.map((code) => `ERR_AMPOULE_${code}`)).toContain(failure["code"]);
  });

  test("that waits for input as it starts gets what there is: its end", async () => {
    const sandbox = await hostile({ HOSTILE_INIT: "stdin" });
    expect(await async(sandbox, "ok")()).toBe("ok");
    await sandbox.close();
  });

  test("leaves a process that makes other sandboxes and calls them", async () => {
    const sandbox = await hostile();
    expect(await async(sandbox, "add")(20, 22)).toBe(42);
    expect(sync(sandbox, "ok")()).toBe("ok");
    expect(sandbox.state).toBe("ready");
    await sandbox.close();
  });
});
