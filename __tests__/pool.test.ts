/** Pools: who gets a sandbox, when, in what state, and what becomes of it afterwards. */
import { AsyncLocalStorage } from "node:async_hooks";
import { readFile } from "node:fs/promises";
import { afterEach, beforeAll, expect, test } from "@jest/globals";
import { type Lease, Pool, type PoolOptions, Sandbox } from "../ts/index.js";
import { failureOf, HOST_FUNCTIONS, rustGuest, sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { turns } from "./support/random.js";
import { fileDescriptors, threads, virtualMachinesFreed } from "./support/resources.js";

type Functions = Readonly<Record<string, (...args: unknown[]) => Promise<unknown>>>;

/** What ends badly, for the guest, and the code of each. */
const WRECKS = {
  panic: [["panic", "on purpose"], "ERR_AMPOULE_GUEST_ABORT"],
  fault: [["recurse", 100_000], "ERR_AMPOULE_GUEST_FAULT"],
  exit: [["exit", 3], "ERR_AMPOULE_GUEST_EXITED"],
  timeout: [["spin_forever", { timeoutMs: 5 }], "ERR_AMPOULE_TIMEOUT"],
  cpuTime: [["spin_forever", { cpuTimeMs: 5 }], "ERR_AMPOULE_CPU_TIME"],
} as const;

describeWithKvm("a pool", () => {
  let guest: Uint8Array;
  const open: Pool[] = [];

  beforeAll(async () => {
    guest = await readFile(rustGuest("testing"));
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((pool) => pool.close({ force: true })));
  });

  async function pool(
    options: Partial<PoolOptions> & { hostFunctions?: object } = {},
  ): Promise<{ pool: Pool; call: Functions }> {
    const given = { guest, memory: "32MiB", stdout: "ignore", stderr: "ignore", ...options };
    const hostFunctions = { ...HOST_FUNCTIONS, ...options.hostFunctions };
    const made = await Pool.create({ ...given, hostFunctions } as PoolOptions);
    open.push(made);
    return { pool: made, call: made.call as Functions };
  }

  function of(lease: Lease): Functions {
    return lease.sandbox.call as Functions;
  }

  // Calls

  test("runs every call in a clean sandbox", async () => {
    const { pool: small, call } = await pool({ size: 1 });
    for (let round = 0; round < 5; round++) expect(await call["counter"]?.()).toBe(1n);
    await small.drain();
    expect(small.statistics).toMatchObject({ size: 1, idle: 1, calls: 5, restores: 5, created: 1 });
  });

  test("says what the guest is, and types its functions", async () => {
    const { pool: some } = await pool({ name: "box" });
    expect(some.name).toBe("box");
    expect(some.interface.exports.map(({ name }) => name)).toContain("add");
    expect(Object.keys(some.call)).toContain("add");
    await expect((some.call as Functions)["no_such"]?.()).rejects.toThrow("exports no function");
  });

  test("answers with what the guest's functions return and fail with", async () => {
    const { call } = await pool({ size: 2 });
    expect(await call["add"]?.(1, 2)).toBe(3);
    expect(await call["sum_via_host"]?.(4)).toBe(12n);
    await expect(call["buy"]?.("tea", 9)).rejects.toMatchObject({ kind: "OutOfStock" });
    await expect(call["add"]?.(1)).rejects.toMatchObject({ code: "ERR_AMPOULE_ARGUMENT" });
    await expect(call["add"]?.(1, "2")).rejects.toMatchObject({ code: "ERR_AMPOULE_ARGUMENT" });
    expect(await call["add"]?.(1, 2)).toBe(3);
  });

  test("reads arguments when it is called, not when a sandbox is free", async () => {
    const { call } = await pool({ size: 1 });
    const bytes = new Uint8Array([1, 2, 3]);
    const answers = [call["echo_bytes"]?.(bytes), call["echo_bytes"]?.(bytes)];
    bytes.fill(9);
    const same = Uint8Array.of(1, 2, 3);
    expect((await Promise.all(answers)).map((each) => Uint8Array.from(each as Buffer))).toEqual([
      same,
      same,
    ]);
  });

  test("runs host functions in the async context of the caller who waited", async () => {
    const context = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    const fetch_number = (id: number): number => {
      seen.push(`${id} ${context.getStore()}`);
      return id;
    };
    const { call } = await pool({ size: 1, hostFunctions: { fetch_number } });
    const ids = [1, 2, 3];
    await Promise.all(
      ids.map((id) => context.run(`caller ${id}`, () => call["host_error_unhandled"]?.(id))),
    );
    expect(seen).toEqual(ids.map((id) => `${id} caller ${id}`));
  });

  test("is made from a snapshot, which may be closed, and goes back to that", async () => {
    const sandbox = await testing({ guest, memory: "32MiB" });
    expect([sync(sandbox, "counter")(), sync(sandbox, "counter")()]).toEqual([1n, 2n]);
    const snapshot = await sandbox.snapshot();
    const hostFunctions = HOST_FUNCTIONS;
    const some = await Pool.create({ snapshot, hostFunctions, size: 2 } as PoolOptions);
    open.push(some);
    snapshot.close();
    const call = some.call as Functions;
    const answers = await Promise.all([1, 2, 3, 4, 5].map(() => call["counter"]?.()));
    expect(answers).toEqual([3n, 3n, 3n, 3n, 3n]);
    await expect(Pool.create({ snapshot, hostFunctions } as PoolOptions)).rejects.toMatchObject({
      code: "ERR_AMPOULE_CLOSED",
    });
  });

  test("lets every caller's guest read standard input from the start", async () => {
    const { call } = await pool({ size: 2, stdin: "all of it" });
    const texts = await Promise.all([1, 2, 3, 4].map(() => call["read_stdin"]?.()));
    expect(texts.map((text) => Buffer.from(text as Uint8Array).toString())).toEqual(
      Array(4).fill("all of it"),
    );
  });

  test("restores guests that write much, too", async () => {
    const { pool: small, call } = await pool({ size: 1 });
    for (let round = 0; round < 40; round++) {
      expect(await call["allocate"]?.(4n * 1024n ** 2n)).toBe(1024n);
      expect(await call["counter"]?.()).toBe(1n);
    }
    await small.drain();
    expect(small.statistics).toMatchObject({ restores: 80, replaced: 0 });
  });

  // Wrecks

  test.each(Object.keys(WRECKS) as (keyof typeof WRECKS)[])(
    "hands on a clean sandbox after a wreck: %s",
    async (name) => {
      const [[fn, ...args], code] = WRECKS[name];
      const { pool: small, call } = await pool({ size: 1 });
      await expect(call[fn]?.(...args)).rejects.toMatchObject({ code });
      expect(await call["counter"]?.()).toBe(1n);
      await small.drain();
      expect(small.statistics).toMatchObject({ size: 1, restores: 2, replaced: 0 });
    },
  );

  test("survives kills of what runs, of what is idle and of what is leased", async () => {
    const { pool: small, call } = await pool({ size: 1 });
    const lease = await small.acquire();
    const { id } = lease.sandbox;
    const running = failureOf(() => of(lease)["spin_forever"]?.());
    Sandbox.kill(id);
    expect(await running).toMatchObject({ code: "ERR_AMPOULE_KILLED" });
    expect(lease.sandbox).toMatchObject({
      state: "poisoned",
      failure: { code: "ERR_AMPOULE_KILLED" },
    });
    lease.release();
    expect(await call["counter"]?.()).toBe(1n);
    await small.drain();
    // Nobody has it now: the next caller must not hear of it.
    Sandbox.kill(id);
    expect(await call["counter"]?.()).toBe(1n);
    const other = await small.acquire();
    other.sandbox.kill();
    expect(other.sandbox.state).toBe("poisoned");
    other.release();
    expect(await call["counter"]?.()).toBe(1n);
  });

  // Leases

  test("leases a sandbox for calls that build on each other", async () => {
    const { pool: small } = await pool({ size: 1 });
    const lease = await small.acquire();
    expect(await of(lease)["counter"]?.()).toBe(1n);
    expect((lease.sandbox.callSync as Functions)["counter"]?.()).toBe(2n);
    expect(small.statistics).toMatchObject({ busy: 1, idle: 0, leases: 1 });
    lease.release();
    const next = await small.acquire();
    expect(await of(next)["counter"]?.()).toBe(1n);
    expect(small.statistics).toMatchObject({ restores: 1, leases: 2, created: 1 });
  });

  test("has a lease's functions in tables that nobody can change", async () => {
    const { pool: small } = await pool({ size: 1 });
    using lease = await small.acquire();
    for (const table of [lease.sandbox.call, lease.sandbox.callSync] as Functions[]) {
      expect(Object.keys(table)).toEqual(small.interface.exports.map(({ name }) => name));
      expect(table["add"]).toBe(table["add"]);
      expect({ ...table }["add"]).toBe(table["add"]);
      expect([await table["add"]?.(1, 2), "add" in table, "no_such" in table]).toEqual([
        3,
        true,
        false,
      ]);
      const failure = await failureOf(() => table["no_such"]?.());
      expect(failure["code"]).toBe("ERR_AMPOULE_UNKNOWN_FUNCTION");
      expect(Reflect.set(table, "add", null)).toBe(false);
      expect(Reflect.deleteProperty(table, "add")).toBe(false);
      expect(Reflect.defineProperty(table, "more", { value: 1 })).toBe(false);
    }
  });

  test("restores nothing after a lease that called nothing", async () => {
    const { pool: small } = await pool({ size: 1 });
    for (let round = 0; round < 3; round++) (await small.acquire()).release();
    expect(small.statistics).toMatchObject({ leases: 3, restores: 0, idle: 1 });
  });

  test("leaves no way to use a released lease", async () => {
    const { pool: small } = await pool({ size: 1 });
    const lease = await small.acquire();
    const { sandbox } = lease;
    const { counter } = of(lease);
    const { counter: counterSync } = sandbox.callSync as Functions;
    lease.release();
    lease.release();
    const next = await small.acquire();
    for (const use of [
      counter,
      counterSync,
      () => of(lease)["counter"]?.(),
      () => sandbox.kill(),
      () => sandbox.id,
      () => sandbox.statistics,
    ]) {
      expect(await failureOf(() => use?.())).toMatchObject({
        code: "ERR_AMPOULE_CLOSED",
        message: "the lease was released",
      });
    }
    expect([lease.released, sandbox.state, sandbox.failure]).toEqual([true, "closed", null]);
    // The one who has it now is not disturbed.
    expect(await of(next)["counter"]?.()).toBe(1n);
  });

  test("stops what still runs when its lease is released", async () => {
    const { pool: small, call } = await pool({ size: 1 });
    const lease = await small.acquire();
    const running = failureOf(() => of(lease)["spin_forever"]?.());
    const queued = failureOf(() => of(lease)["counter"]?.());
    lease.release();
    expect(await call["counter"]?.()).toBe(1n);
    expect(await running).toMatchObject({ code: "ERR_AMPOULE_KILLED" });
    expect(await queued).toMatchObject({ code: "ERR_AMPOULE_POISONED" });
  });

  test("takes a lease back at the end of its block", async () => {
    const { pool: small } = await pool({ size: 1 });
    {
      await using lease = await small.acquire();
      expect(await of(lease)["counter"]?.()).toBe(1n);
    }
    {
      using lease = await small.acquire();
      expect((lease.sandbox.callSync as Functions)["counter"]?.()).toBe(1n);
    }
    await small.drain();
    expect(small.statistics).toMatchObject({ idle: 1, busy: 0, restores: 2 });
  });

  test("a lease released by a host function in callSync is stopped there", async () => {
    let lease: Lease | undefined;
    const fetch_number = (id: number): number => {
      lease?.release();
      return id;
    };
    const { pool: small, call } = await pool({ size: 1, hostFunctions: { fetch_number } });
    lease = await small.acquire();
    const inside = lease.sandbox.callSync as Functions;
    expect(await failureOf(() => inside["sum_via_host"]?.(3))).toMatchObject({
      code: "ERR_AMPOULE_KILLED",
    });
    expect(await call["counter"]?.()).toBe(1n);
  });

  // Waiting

  test("serves those who wait in the order in which they came", async () => {
    const { pool: small, call } = await pool({ size: 1 });
    const order: number[] = [];
    const callers = Array.from({ length: 20 }, async (_, index) => {
      if (index % 3 === 0) {
        const lease = await small.acquire();
        order.push(index);
        lease.release();
      } else {
        await call["nothing"]?.();
        order.push(index);
      }
    });
    expect(small.statistics).toMatchObject({ queued: 19, busy: 1 });
    await Promise.all(callers);
    expect(order).toEqual(callers.map((_, index) => index));
    const { waitedMs, longestWaitMs } = small.statistics;
    expect(waitedMs).toBeGreaterThanOrEqual(longestWaitMs);
    expect(longestWaitMs).toBeGreaterThan(0);
  });

  test("grows while callers wait, and no further than its maximum", async () => {
    const { pool: some, call } = await pool({ size: { min: 1, max: 3 } });
    expect(some.statistics.size).toBe(1);
    const leases = await Promise.all([some.acquire(), some.acquire(), some.acquire()]);
    expect(some.statistics).toMatchObject({ size: 3, busy: 3, created: 3 });
    const fourth = call["counter"]?.();
    await turns(5);
    expect(some.statistics).toMatchObject({ size: 3, queued: 1, creating: 0 });
    leases[1]?.release();
    expect(await fourth).toBe(1n);
    for (const lease of leases) lease.release();
    await some.drain();
    expect(some.statistics).toMatchObject({ size: 3, idle: 3, created: 3 });
  });

  test("refuses callers when the queue is full", async () => {
    const { pool: small, call } = await pool({ size: 1, maxQueue: 2 });
    const lease = await small.acquire();
    const waiting = [call["counter"]?.(), small.acquire()] as const;
    for (const late of [() => call["counter"]?.(), () => small.acquire()]) {
      expect(await failureOf(late)).toMatchObject({
        code: "ERR_AMPOULE_QUEUE_FULL",
        details: { max: 1, maxQueue: 2, queued: 2 },
      });
    }
    expect(small.statistics).toMatchObject({ queued: 2, rejected: 2 });
    lease.release();
    expect(await waiting[0]).toBe(1n);
    (await waiting[1]).release();
  });

  test("without a queue refuses whom no sandbox is on its way for", async () => {
    const { pool: small, call } = await pool({ size: { min: 1, max: 2 }, maxQueue: 0 });
    // One after the other is no crowd: a sandbox that is being restored is on its way.
    for (let round = 0; round < 10; round++) expect(await call["counter"]?.()).toBe(1n);
    await small.drain();
    const calls = [1, 2, 3].map(() => failureOf(async () => ({ code: await call["nothing"]?.() })));
    const lines = await Promise.allSettled(calls);
    const refused = lines.filter(({ status }) => status === "fulfilled");
    expect(refused).toHaveLength(1);
    expect(refused[0]).toMatchObject({ value: { code: "ERR_AMPOULE_QUEUE_FULL" } });
  });

  test("lets everybody wait if told so", async () => {
    const { pool: small, call } = await pool({ size: 1, whenFull: "wait" });
    const answers = await Promise.all(Array.from({ length: 1200 }, () => call["counter"]?.()));
    expect(new Set(answers)).toEqual(new Set([1n]));
    expect(small.statistics).toMatchObject({ rejected: 0, calls: 1200 });
  });

  test("lets those go whose signal fires", async () => {
    const { pool: small, call } = await pool({ size: 1, maxQueue: 3 });
    const lease = await small.acquire();
    const abort = new AbortController();
    const { signal } = abort;
    const gone = [
      failureOf(() => call["counter"]?.({ signal })),
      failureOf(() => small.acquire({ signal })),
    ];
    const patient = call["counter"]?.();
    expect(small.statistics.queued).toBe(3);
    abort.abort(new Error("enough"));
    for (const each of gone) {
      expect(await each).toMatchObject({
        code: "ERR_AMPOULE_ABORTED",
        cause: { message: "enough" },
      });
    }
    expect(small.statistics.queued).toBe(1);
    for (const early of [() => call["counter"]?.({ signal }), () => small.acquire({ signal })]) {
      expect(await failureOf(early)).toMatchObject({ code: "ERR_AMPOULE_ABORTED" });
    }
    lease.release();
    expect(await patient).toBe(1n);
    await small.drain();
    expect(small.statistics).toMatchObject({ calls: 1, leases: 1, idle: 1 });
  });

  test("a call's signal also stops it when it runs", async () => {
    const { call } = await pool({ size: 1 });
    const abort = new AbortController();
    const { signal } = abort;
    const running = failureOf(() => call["spin_forever"]?.({ signal }));
    const waiting = failureOf(() => call["spin_forever"]?.({ signal }));
    await turns(3);
    abort.abort();
    expect(await running).toMatchObject({ code: "ERR_AMPOULE_ABORTED" });
    expect(await waiting).toMatchObject({ code: "ERR_AMPOULE_ABORTED" });
    expect(await call["counter"]?.()).toBe(1n);
  });

  // Shrinking and ending

  test("closes what nobody uses, down to the minimum", async () => {
    const { pool: some } = await pool({ size: { min: 1, max: 4 }, idleMs: 1 });
    const leases = await Promise.all([1, 2, 3, 4].map(() => some.acquire()));
    expect(some.statistics.size).toBe(4);
    for (const lease of leases) lease.release();
    while (some.statistics.size > 1) await turns(1);
    expect(some.statistics).toMatchObject({ size: 1, idle: 1, created: 4, replaced: 0 });
  });

  test("can be empty, and wakes up", async () => {
    const { pool: some, call } = await pool({ size: { min: 0, max: 2 }, idleMs: 0 });
    while (some.statistics.size > 0) await turns(1);
    expect(await call["counter"]?.()).toBe(1n);
    expect(some.statistics.created).toBe(2);
  });

  test("drain waits for all that goes on, and refuses nothing", async () => {
    const { pool: small, call } = await pool({ size: 1 });
    await small.drain();
    const answers = [call["sum_via_host"]?.(5), call["counter"]?.(), call["counter"]?.()];
    let settled = 0;
    for (const answer of answers) void answer?.then(() => settled++);
    await small.drain();
    expect(settled).toBe(3);
    expect(small.statistics).toMatchObject({ idle: 1, restores: 3 });
    expect(await call["counter"]?.()).toBe(1n);
  });

  test("close lets what was accepted finish, and accepts no more", async () => {
    const { pool: small, call } = await pool({ size: 1 });
    const lease = await small.acquire();
    const answers = [call["counter"]?.(), call["counter"]?.()];
    const closing = small.close();
    for (const late of [() => call["counter"]?.(), () => small.acquire()]) {
      expect(await failureOf(late)).toMatchObject({ code: "ERR_AMPOULE_CLOSED" });
    }
    expect(await of(lease)["counter"]?.()).toBe(1n);
    lease.release();
    expect(await Promise.all(answers)).toEqual([1n, 1n]);
    await closing;
    await small.close();
    expect(small.statistics).toMatchObject({ size: 0, queued: 0 });
  });

  test("close by force waits for nobody", async () => {
    const { pool: small, call } = await pool({ size: 2 });
    const lease = await small.acquire();
    const leased = failureOf(() => of(lease)["spin_forever"]?.());
    const running = failureOf(() => call["spin_forever"]?.());
    const queued = failureOf(() => call["counter"]?.());
    const patient = small.close();
    await small.close({ force: true });
    await patient;
    for (const each of [leased, running, queued]) {
      expect(await each).toMatchObject({ code: "ERR_AMPOULE_CLOSED" });
    }
    expect(await failureOf(() => of(lease)["counter"]?.())).toMatchObject({
      code: "ERR_AMPOULE_CLOSED",
    });
    lease.release();
    expect(small.statistics).toMatchObject({ size: 0, busy: 0 });
  });

  test("is closed at the end of its block", async () => {
    let kept: Pool;
    {
      await using some = (await pool({ size: 2 })).pool;
      kept = some;
      expect(await (some.call as Functions)["counter"]?.()).toBe(1n);
    }
    expect(kept.statistics.size).toBe(0);
  });

  test("leaves nothing behind", async () => {
    const round = async (): Promise<void> => {
      const { pool: some, call } = await pool({ size: { min: 1, max: 3 } });
      const wrecks = [call["exit"]?.(1), call["recurse"]?.(100_000), call["counter"]?.()];
      (await some.acquire()).release();
      await Promise.allSettled(wrecks);
      await some.close();
    };
    await round();
    await virtualMachinesFreed();
    const before = [Object.fromEntries(fileDescriptors()), Object.fromEntries(threads())];
    for (let left = 20; left > 0; left--) await round();
    await virtualMachinesFreed();
    expect([Object.fromEntries(fileDescriptors()), Object.fromEntries(threads())]).toEqual(before);
  });

  // Options

  test.each([
    [{ size: 0 }, "size must be an integer between 1"],
    [{ size: { min: 2, max: 1 } }, "size.min must be at most size.max"],
    [{ size: { least: 1 } }, "size.least is not known"],
    [{ size: "2" }, "size must be a number or { min, max }"],
    [{ maxQueue: -1 }, "maxQueue must be an integer"],
    [{ maxQueue: 1, whenFull: "wait" }, "maxQueue has no meaning"],
    [{ whenFull: "never" }, 'whenFull must be "wait" or "reject"'],
    [{ idleMs: -1 }, "idleMs must be a non-negative number"],
    [{ idleMs: Number.NaN }, "idleMs must be a non-negative number"],
    [{ colour: "red" }, "colour is not known"],
    [{ restore: "after-call" }, "restore is what a pool does anyway"],
    [{ stdin: [new Uint8Array(1)] }, "stdin of a pool must be null, a string or a Uint8Array"],
    [{ memory: 1 }, "memory must be"],
  ])("refuses options that mean nothing: %j", async (wrong, message) => {
    expect(await failureOf(() => pool(wrong as Partial<PoolOptions>))).toMatchObject({
      code: "ERR_AMPOULE_INVALID_ARGUMENT",
      message: expect.stringContaining(message),
    });
  });

  test("tells why it cannot be made", async () => {
    const failing = { env: { TESTING_INIT: "fail" } };
    expect(await failureOf(() => pool(failing))).toMatchObject({
      code: "ERR_AMPOULE_GUEST_ABORT",
    });
    expect(await failureOf(() => pool({ signal: AbortSignal.abort() }))).toMatchObject({
      code: "ERR_AMPOULE_ABORTED",
    });
    expect(
      await failureOf(() => pool({ hostFunctions: { fetch_user: 1 as never } })),
    ).toMatchObject({
      code: "ERR_AMPOULE_INVALID_ARGUMENT",
    });
  });
});
