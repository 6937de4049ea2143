/** Sandboxes leave nothing behind: no file descriptors, no threads, no mappings, no memory. */
import { readFile } from "node:fs/promises";
import { beforeAll, expect, test } from "@jest/globals";
import { Sandbox, Snapshot } from "../ts/index.js";
import { async, failureOf, HOST_FUNCTIONS, rustGuest, sync } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import {
  fileDescriptors,
  mappings,
  residentBytes,
  threads,
  virtualMachinesFreed,
} from "./support/resources.js";

const ROUNDS = 2000;

/**
 * How much the process may grow in all the rounds after the first ones. 24 MiB are 12 KiB for each
 * round, or five sandboxes: what is lost in every round and takes three pages is found. The process
 * itself grows for good reasons (the JavaScript heap, the arenas of the allocators), by 3 MiB when
 * this was written.
 */
const GROWTH_BYTES = 24 * 1024 ** 2;

let guest: Uint8Array;
beforeAll(async () => {
  guest = await readFile(rustGuest("testing"));
});

function create(): Promise<Sandbox> {
  return Sandbox.create({
    guest,
    memory: "32MiB",
    limits: { stack: "256KiB", message: "64KiB" },
    hostFunctions: HOST_FUNCTIONS,
    stdout: "ignore",
    stderr: "ignore",
  });
}

/** Ways in which a sandbox's life can go. */
const LIVES: Readonly<Record<string, (sandbox: Sandbox) => Promise<void>>> = {
  async call(sandbox) {
    expect(await async(sandbox, "add")(1, 2)).toBe(3);
  },
  async callSync(sandbox) {
    expect(sync(sandbox, "add")(1, 2)).toBe(3);
  },
  async hostCalls(sandbox) {
    expect(await async(sandbox, "sum_via_host")(3)).toBe(6n);
  },
  async panic(sandbox) {
    expect(await failureOf(() => async(sandbox, "panic")("on purpose"))).toMatchObject({
      code: "ERR_AMPOULE_GUEST_ABORT",
    });
  },
  async fault(sandbox) {
    expect(await failureOf(() => async(sandbox, "recurse")(100_000))).toMatchObject({
      code: "ERR_AMPOULE_GUEST_FAULT",
    });
  },
  async exit(sandbox) {
    expect(await failureOf(() => async(sandbox, "exit")(1))).toMatchObject({
      code: "ERR_AMPOULE_GUEST_EXITED",
    });
  },
  async timeout(sandbox) {
    const call = async(sandbox, "spin_forever")({ timeoutMs: 1 });
    expect(await failureOf(() => call)).toMatchObject({ code: "ERR_AMPOULE_TIMEOUT" });
  },
  async kill(sandbox) {
    const call = async(sandbox, "spin_forever")();
    sandbox.kill();
    expect(await failureOf(() => call)).toMatchObject({ code: "ERR_AMPOULE_KILLED" });
  },
  async abort(sandbox) {
    const call = async(sandbox, "sleep")(1e6, { signal: AbortSignal.timeout(1) });
    expect(await failureOf(() => call)).toMatchObject({ code: "ERR_AMPOULE_ABORTED" });
  },
  async closeWhileRunning(sandbox) {
    const call = async(sandbox, "spin_forever")();
    void sandbox.close();
    expect(await failureOf(() => call)).toMatchObject({ code: "ERR_AMPOULE_CLOSED" });
  },
  async restores(sandbox) {
    for (let round = 0; round < 5; round++) {
      expect(sync(sandbox, "counter")()).toBe(1n);
      await async(sandbox, "allocate")(5_000_000n);
      if (round % 2 === 0) await sandbox.restore();
      else sandbox.restoreSync();
    }
  },
  async killDuringRestore(sandbox) {
    await async(sandbox, "allocate")(5_000_000n);
    const restored = sandbox.restore();
    sandbox.kill();
    // A restore that costs little is done before it can be killed.
    await restored.catch(() => {});
    await sandbox.restore();
    expect(sync(sandbox, "add")(1, 2)).toBe(3);
  },
  async closeDuringSnapshot(sandbox) {
    const snapshot = sandbox.snapshot();
    void sandbox.close();
    await failureOf(async () => (await snapshot).close());
  },
  async snapshots(sandbox) {
    const snapshot = await sandbox.snapshot();
    const others = await Promise.all([
      sandbox.fork({ restore: "after-call" }),
      Sandbox.create({ snapshot, hostFunctions: HOST_FUNCTIONS, stdout: "ignore" } as never),
    ]);
    for (const other of others) expect(sync(other, "counter")()).toBe(1n);
    await failureOf(() => async(others[0], "panic")("on purpose"));
    await sandbox.restore(snapshot);
    Snapshot.open(snapshot.id).close();
    snapshot.close();
    await Promise.all(others.map((other) => other.close()));
  },
  async failedCreation(sandbox) {
    const snapshot = await sandbox.snapshot();
    for (const options of [{ hostFunctions: {} }, { signal: AbortSignal.abort() }]) {
      await failureOf(() => Sandbox.create({ snapshot, ...options } as never));
    }
    snapshot.close();
  },
  async nothing() {},
};

interface Holdings {
  readonly descriptors: Record<string, number>;
  readonly threads: Record<string, number>;
  readonly mappings: number;
  readonly bytes: number;
}

async function holdings(): Promise<Holdings> {
  await virtualMachinesFreed();
  const bytes = await residentBytes();
  return {
    descriptors: Object.fromEntries(fileDescriptors()),
    threads: Object.fromEntries(threads()),
    mappings: mappings(),
    bytes,
  };
}

describeWithKvm("sandboxes leave nothing behind", () => {
  async function live(name: string): Promise<void> {
    const sandbox = await create();
    try {
      await LIVES[name]?.(sandbox);
    } finally {
      await sandbox.close();
    }
  }

  async function rounds(count: number, names: readonly string[]): Promise<void> {
    for (let round = 0; round < count; round++) await live(names[round % names.length] as string);
  }

  function expectNothingNew(before: Holdings, after: Holdings): void {
    expect(after.descriptors).toEqual(before.descriptors);
    expect(after.threads).toEqual(before.threads);
    // The allocators map and unmap as they like; a sandbox that stayed would be dozens each.
    expect(after.mappings).toBeLessThan(before.mappings + ROUNDS / 4);
    expect(after.bytes - before.bytes).toBeLessThan(GROWTH_BYTES);
  }

  test(`in ${ROUNDS} rounds of create, call and close`, async () => {
    await rounds(ROUNDS / 8, ["call", "callSync", "hostCalls", "nothing"]);
    const before = await holdings();
    const start = performance.now();
    await rounds(ROUNDS, ["call"]);
    const milliseconds = (performance.now() - start) / ROUNDS;
    const after = await holdings();
    const growth = ((after.bytes - before.bytes) / 1024 ** 2).toFixed(1);
    console.log(
      `${ROUNDS} rounds: ${milliseconds.toFixed(2)} ms each, ${growth} MiB more, ` +
        `${before.mappings} mappings before and ${after.mappings} after`,
    );
    expectNothingNew(before, after);
  }, 600_000);

  test("however their lives end", async () => {
    const names = Object.keys(LIVES);
    await rounds(names.length * 4, names);
    const before = await holdings();
    await rounds(names.length * 25, names);
    expectNothingNew(before, await holdings());
  });

  test("when many live at once, or fail to be made", async () => {
    const many = async (): Promise<void> => {
      const sandboxes = await Promise.all(Array.from({ length: 32 }, create));
      await Promise.all(sandboxes.map((sandbox) => async(sandbox, "add")(1, 2)));
      await Promise.all(sandboxes.map((sandbox) => sandbox.close()));
      const guest = Buffer.from("no program");
      for (let round = 0; round < 20; round++) {
        await expect(Sandbox.create({ guest })).rejects.toMatchObject({
          code: "ERR_AMPOULE_INVALID_GUEST",
        });
        const env = { TESTING_INIT: "panic" };
        const failing = { guest: rustGuest("testing"), hostFunctions: HOST_FUNCTIONS, env };
        await expect(Sandbox.create({ ...failing, stderr: "ignore" })).rejects.toMatchObject({
          code: "ERR_AMPOULE_GUEST_ABORT",
        });
      }
    };
    await many();
    const before = await holdings();
    await many();
    expectNothingNew(before, await holdings());
  });
});
