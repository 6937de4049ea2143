/**
 * Every act of the hostile guest ends as the guest's own documentation says, and never harms this
 * process. The words before the colon of a function's documentation are the codes it may end with;
 * `survives` is a result.
 */
import { afterAll, expect, test } from "@jest/globals";
import { AmpouleError, GuestFaultError, Sandbox } from "../ts/index.js";
import { async, failureOf, rustGuest, sync } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";

/** The acts that never end are stopped by it; a dozen of them wait for it. */
const DEADLINE_MS = 500;

const ARGUMENTS: Readonly<Record<string, unknown[]>> = {
  add: [1, 2],
  any_system_call: [39n, [0n, 0n, 0n, 0n, 0n, 0n]],
  exit: [3],
  host_call_unknown: [7],
  jump_into_system_pages: [0x1000n],
  jump_to: [0x7f_8000_0000n],
  map_and_fill: [2n ** 30n],
  map_flood: [2000n],
  read_at: [0x7f_8000_0000n],
  signal_itself: [6],
  unknown_kind: [6],
  write_at: [0x7f_8000_0000n],
};

function hostile(env: Record<string, string> = {}): Promise<Sandbox> {
  return Sandbox.create({
    guest: rustGuest("hostile"),
    hostFunctions: { touch: () => {} },
    memory: "32MiB",
    limits: { timeoutMs: DEADLINE_MS, hostCalls: 1000, output: "1MiB" },
    stdout: "ignore",
    stderr: "ignore",
    env,
  });
}

describeWithKvm("the hostile guest", () => {
  let acts: { name: string; documentation: string }[] = [];

  async function list(): Promise<void> {
    const sandbox = await hostile();
    acts = sandbox.interface.exports.map(({ name, documentation }) => ({
      name,
      documentation: documentation ?? "",
    }));
    await sandbox.close();
  }

  async function attempt(name: string, call: typeof sync | typeof async): Promise<string> {
    const sandbox = await hostile();
    try {
      await call(sandbox, name)(...(ARGUMENTS[name] ?? []));
      expect(sandbox.state).toBe("ready");
      return "survives";
    } catch (error) {
      if (!(error instanceof AmpouleError)) throw error;
      const usable = ["ERR_AMPOULE_GUEST_ERROR", "ERR_AMPOULE_RESULT"].includes(error.code);
      expect([name, error.code, sandbox.state]).toEqual([
        name,
        error.code,
        usable ? "ready" : "poisoned",
      ]);
      if (error instanceof GuestFaultError) {
        expect(error.fault.instruction.address).toMatch(/^0x[\da-f]+$/);
      }
      return error.code.replace("ERR_AMPOULE_", "");
    } finally {
      await sandbox.close();
    }
  }

  test.each([
    ["synchronously", sync],
    ["asynchronously", async],
  ] as const)("ends every act as documented, called %s", async (_, call) => {
    await list();
    expect(acts.length).toBeGreaterThan(150);
    const wrong: string[] = [];
    for (const { name, documentation } of acts) {
      const [expected = ""] = documentation.split(":", 1);
      const ended = await attempt(name, call);
      if (!documentation.startsWith(ended) && !expected.includes(ended)) {
        wrong.push(`${name} ended with ${ended}, but: ${documentation}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  const STARTS = [
    ["exit", ["GUEST_EXITED"]],
    ["loop", ["TIMEOUT"]],
    ["panic", ["GUEST_ABORT"]],
    ["error", ["GUEST_ABORT"]],
    ["fault", ["GUEST_FAULT"]],
    ["badready", ["INVALID_GUEST", "PROTOCOL", "INCOMPATIBLE_GUEST"]],
    ["emptyready", ["INVALID_GUEST", "PROTOCOL", "INCOMPATIBLE_GUEST"]],
    ["hugeready", ["INVALID_GUEST", "PROTOCOL", "INCOMPATIBLE_GUEST"]],
    ["lyingready", ["PROTOCOL"]],
    ["returnfirst", ["PROTOCOL"]],
    ["hostcallfirst", ["PROTOCOL"]],
    ["wrongsequence", ["PROTOCOL"]],
    ["ringonly", ["PROTOCOL"]],
    ["output", ["OUTPUT_LIMIT"]],
    ["memory", ["MEMORY_LIMIT", "GUEST_EXITED"]],
  ] as const;

  test.each(STARTS)("that starts with %s ends with %p", async (act, codes) => {
    const failure = await failureOf(() => hostile({ HOSTILE_INIT: act }));
    expect(codes.map((code) => `ERR_AMPOULE_${code}`)).toContain(failure["code"]);
  });

  test("a fault tells what was done where", async () => {
    const sandbox = await hostile();
    const failure = await failureOf(() => sync(sandbox, "write_null")());
    expect(failure["fault"]).toMatchObject({ vector: 14, address: "0x0", access: "write" });
    expect(failure["message"]).toContain("write of address 0x0");
    expect((failure as unknown as GuestFaultError).fault.instruction.symbol).toContain("hostile");
    await sandbox.close();
  });

  test("texts of a guest reach no terminal as commands by the error's message alone", async () => {
    const sandbox = await hostile();
    const name = acts.find(({ documentation }) => documentation.includes("terminal"))?.name ?? "";
    const failure = await failureOf(() => sync(sandbox, name)());
    expect(failure["code"]).toBe("ERR_AMPOULE_GUEST_ERROR");
    await sandbox.close();
  });

  afterAll(async () => {
    // All that must not have hurt the process.
    const sandbox = await hostile();
    expect(sync(sandbox, "ok")()).toBe("ok");
    expect(await async(sandbox, "add")(20, 22)).toBe(42);
    await sandbox.close();
  });
});
