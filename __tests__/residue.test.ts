/**
 * Nothing of a run is found by the next one. The guest's `leave` writes a mark wherever a guest can,
 * and ends in one of many ways; its `fingerprint` tells all that a guest sees of its own state.
 */
import { afterEach, expect, test } from "@jest/globals";
import { type AmpouleError, Pool, Sandbox, type Snapshot } from "../ts/index.js";
import { async, HOST_FUNCTIONS, rustGuest, sync } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { turns } from "./support/random.js";

const MARK = 0x5ca1_ab1e_0badn;
const FILE = new Uint8Array(5000).map((_, index) => index);
const STDIN = "what nobody read yet";

const open = new Set<Sandbox | Snapshot>();

afterEach(async () => {
  await Promise.all([...open].map((each) => each.close()));
  open.clear();
});

/** What the host function does that the guest calls on its way. */
let answer: () => number | Promise<number> = () => 1;

const common = {
  hostFunctions: { ...HOST_FUNCTIONS, fetch_number: () => answer() },
  stdout: "ignore",
  stderr: "ignore",
} as const;

async function sandboxOf(options: object): Promise<Sandbox> {
  const sandbox = await Sandbox.create({ ...common, ...options } as never);
  open.add(sandbox);
  return sandbox;
}

/** A sandbox with something of each kind that a run can use up. */
function fresh(options: object = {}): Promise<Sandbox> {
  return sandboxOf({
    guest: rustGuest("testing"),
    memory: "48MiB",
    limits: { message: "64KiB" },
    files: { "/data/file": FILE },
    stdin: STDIN,
    ...options,
  });
}

type Fingerprint = Readonly<Record<string, string>>;

function fingerprint(sandbox: Sandbox): Fingerprint {
  const parts = sync(sandbox, "fingerprint")() as Fingerprint | Map<string, string>;
  return parts instanceof Map ? Object.fromEntries(parts) : parts;
}

/** The parts in which `found` is not `clean`. */
function differences(found: Fingerprint, clean: Fingerprint): string[] {
  return Object.keys(clean).filter((part) => found[part] !== clean[part]);
}

/** Ends of a run by the guest's own doing, with the code of their failure. */
const ENDS: Readonly<Record<string, string | null>> = {
  return: null,
  error: "ERR_AMPOULE_GUEST_ERROR",
  panic: "ERR_AMPOULE_GUEST_ABORT",
  exit: "ERR_AMPOULE_GUEST_EXITED",
  fault: "ERR_AMPOULE_GUEST_FAULT",
  null: "ERR_AMPOULE_GUEST_FAULT",
  trap: "ERR_AMPOULE_GUEST_FAULT",
  spin: "ERR_AMPOULE_TIMEOUT",
  memory: "ERR_AMPOULE_MEMORY_LIMIT",
};

/** Ends of a run from outside, while the guest computes or waits for a host function. */
const STOPS: Readonly<Record<string, string>> = {
  "kill spin": "ERR_AMPOULE_KILLED",
  "kill host": "ERR_AMPOULE_KILLED",
  "abort spin": "ERR_AMPOULE_ABORTED",
  "abort host": "ERR_AMPOULE_ABORTED",
  "throw host": "ERR_AMPOULE_HOST_FUNCTION",
};

async function codeOf(work: () => unknown): Promise<string | null> {
  try {
    await work();
    return null;
  } catch (error) {
    return (error as AmpouleError).code;
  }
}

/** Lets a run leave its traces and end in this way. */
async function run(sandbox: Sandbox, end: string): Promise<void> {
  const expected = ENDS[end];
  if (expected !== undefined) {
    const options = end === "spin" ? { timeoutMs: 100 } : {};
    expect(await codeOf(() => sync(sandbox, "leave")(MARK, end, options))).toBe(expected);
    return;
  }
  const [stop, where] = end.split(" ");
  const controller = new AbortController();
  let fail = (_error: Error): void => {};
  const asked = new Promise<void>((resolve) => {
    answer = () => {
      resolve();
      if (where === "spin") return 1;
      return new Promise((_, reject) => {
        fail = reject;
      });
    };
  });
  const { signal } = controller;
  const call = codeOf(() => async(sandbox, "leave")(MARK, where, { signal }));
  await asked;
  answer = () => 1;
  // Far enough into its loop, or not: both must do.
  await turns(20);
  if (stop === "kill") sandbox.kill();
  else if (stop === "abort") controller.abort();
  else fail(new Error("as told"));
  expect(await call).toBe(STOPS[end]);
}

const EVERY_END = [...Object.keys(ENDS), ...Object.keys(STOPS)];
const WITHOUT_KILLS = EVERY_END.filter((end) => !end.startsWith("kill"));

describeWithKvm("a run finds nothing of the one before", () => {
  test("although each part of the state tells of it", async () => {
    const sandbox = await fresh();
    const clean = fingerprint(sandbox);
    sync(sandbox, "leave")(MARK, "return");
    // What a function finds in its caller's registers is up to the compiler, which may leave the same in
    // them every time; some hypervisors forget selectors at every exit, and some processors the x87
    // pointers: crates/hypervisor/tests/kvm.rs compares all of these behind an entry.
    const silent = ["general", "selectors", "pointers"];
    const tells = (part: string): boolean => !silent.includes(part);
    const found = differences(fingerprint(sandbox), clean).filter(tells);
    expect(found).toEqual(Object.keys(clean).filter(tells));
  });

  test.each(EVERY_END)("after %s and a restore", async (end) => {
    const sandbox = await fresh();
    const clean = fingerprint(sandbox);
    for (const restore of [() => sandbox.restoreSync(), () => sandbox.restore()]) {
      await restore();
      await run(sandbox, end);
      await restore();
      expect(sandbox.state).toBe("ready");
      expect(differences(fingerprint(sandbox), clean)).toEqual([]);
      await restore();
      expect(Buffer.from(sync(sandbox, "read_stdin")() as Uint8Array).toString()).toBe(STDIN);
    }
  });

  test.each(WITHOUT_KILLS)("after %s when every call is followed by a restore", async (end) => {
    const sandbox = await fresh({ restore: "after-call" });
    const clean = fingerprint(sandbox);
    for (let round = 0; round < 2; round++) {
      await run(sandbox, end);
      expect(sandbox.state).toBe("ready");
      expect(differences(fingerprint(sandbox), clean)).toEqual([]);
      expect(Buffer.from(sync(sandbox, "read_stdin")() as Uint8Array).toString()).toBe(STDIN);
    }
    expect(sandbox.statistics.restores).toBe(sandbox.statistics.calls);
  });

  test.each(EVERY_END)("after %s and a restore to another sandbox's snapshot", async (end) => {
    const [sandbox, other] = await Promise.all([fresh(), fresh()]);
    sync(other, "allocate")(3_000_000n);
    sync(other, "counter")();
    const snapshot = await other.snapshot();
    open.add(snapshot);
    const clean = fingerprint(await sandboxOf({ snapshot }));
    for (let round = 0; round < 2; round++) {
      await run(sandbox, end);
      await sandbox.restore(snapshot);
      expect(differences(fingerprint(sandbox), clean)).toEqual([]);
      await sandbox.restore(snapshot);
      expect(sync(sandbox, "read_stdin")()).toEqual(new Uint8Array(0));
      expect(sync(sandbox, "counter")()).toBe(2n);
    }
    await sandbox.restore();
    expect(sync(sandbox, "counter")()).toBe(1n);
  });

  test("in forks and sandboxes from a snapshot of one that was restored", async () => {
    const sandbox = await fresh();
    const clean = fingerprint(sandbox);
    for (const end of ["return", "fault", "memory"]) {
      sandbox.restoreSync();
      await run(sandbox, end);
      await sandbox.restore();
      const fork = await sandbox.fork();
      open.add(fork);
      const snapshot = await fork.snapshot();
      open.add(snapshot);
      expect(differences(fingerprint(fork), clean)).toEqual([]);
      await run(fork, end);
      expect(differences(fingerprint(sandbox), clean)).toEqual([]);
      const from = await sandboxOf({ snapshot });
      expect(differences(fingerprint(from), clean)).toEqual([]);
    }
  });

  test("in sandboxes that begin in the same image", async () => {
    const first = await fresh();
    const clean = fingerprint(first);
    for (const end of ["return", "panic", "memory"]) {
      const [dirty, other] = [await fresh(), await fresh()];
      expect(dirty.statistics.initialisations).toBe(0);
      await run(dirty, end);
      expect(differences(fingerprint(other), clean)).toEqual([]);
      await dirty.close();
      expect(differences(fingerprint(await fresh()), clean)).toEqual([]);
    }
  });

  test("and is all that is left when nothing was done", async () => {
    const sandbox = await fresh();
    const clean = fingerprint(sandbox);
    for (let round = 0; round < 50; round++) {
      sandbox.restoreSync();
      expect(differences(fingerprint(sandbox), clean)).toEqual([]);
    }
  });
});

/** A register that an instruction of ring 3 writes, as guests/fixtures/testing/src/registers.rs lists them. */
interface Register {
  readonly name: string;
  readonly asked: "fingerprint" | "directly" | "faults" | "untold";
  readonly how: string;
  readonly writtenBy: string;
  readonly source: string;
}

describeWithKvm("each register that ring 3 can write", () => {
  const registers = async (): Promise<readonly Register[]> =>
    sync(await fresh(), "registers")() as readonly Register[];

  test("is told by the fingerprint, asked for, out of reach, or has a reason", async () => {
    const parts = Object.keys(fingerprint(await fresh()));
    const list = await registers();
    expect(list.length).toBeGreaterThan(35);
    // Without AVX-512 there are no masks, without FSGSBASE no instruction that reads a base.
    const absent = ["masks", "bases"].filter((part) => !parts.includes(part));
    for (const { name, asked, how, source } of list) {
      if (asked === "fingerprint") expect([...parts, ...absent]).toContain(how);
      if (asked === "untold") expect(`${name}: ${how}`).toMatch(/: .{20}/);
      expect(source).toMatch(/SDM|APM|specification/);
    }
  });

  test("faults where it is not for ring 3", async () => {
    const harmless: string[] = [];
    for (const { name, asked } of await registers()) {
      if (asked !== "faults") continue;
      const sandbox = await fresh();
      const code = await codeOf(() => sync(sandbox, "write_register")(name, MARK));
      if (code !== "ERR_AMPOULE_GUEST_FAULT") harmless.push(`${name}: ${code}`);
    }
    expect(harmless).toEqual([]);
  });

  test("tells neither another sandbox nor the next run, where it is enabled", async () => {
    /** What one run finds: a value, or that it cannot ask. */
    const found = async (sandbox: Sandbox, name: string): Promise<unknown> => {
      try {
        return sync(sandbox, "read_register")(name);
      } catch (error) {
        return (error as AmpouleError).code;
      }
    };
    const names = (await registers()).filter(({ asked }) => asked === "directly");
    for (const { name } of names) {
      const clean = await found(await fresh(), name);
      const [beside, dirty] = [await fresh(), await fresh()];
      const after = await fresh({ restore: "after-call" });
      for (const sandbox of [dirty, after]) {
        await codeOf(() => sync(sandbox, "write_register")(name, MARK));
      }
      expect([name, await found(beside, name)]).toEqual([name, clean]);
      expect([name, await found(after, name)]).toEqual([name, clean]);
      dirty.restoreSync();
      expect([name, await found(dirty, name)]).toEqual([name, clean]);
      await codeOf(() => sync(dirty, "write_register")(name, MARK));
      await dirty.close();
      expect([name, await found(await fresh(), name)]).toEqual([name, clean]);
    }
  });

  test("tells nothing in a pool whose sandboxes alternate on one thread", async () => {
    const pool = await Pool.create({
      ...common,
      guest: rustGuest("testing"),
      memory: "48MiB",
      size: { min: 2, max: 2 },
    } as never);
    try {
      const [first, second] = [await pool.acquire(), await pool.acquire()];
      const clean = fingerprint(first.sandbox as never);
      sync(second.sandbox as never, "leave")(MARK, "return");
      // What its own first call left in the others is its own business.
      const kept = ["flags", "selectors", "bases", "x87"];
      const found = differences(fingerprint(first.sandbox as never), clean);
      expect(found.filter((part) => kept.includes(part))).toEqual([]);
      second.release();
      const next = await pool.acquire();
      const registers = [...kept, "general", "pointers", "vectors", "masks"];
      const left = differences(fingerprint(next.sandbox as never), clean);
      expect(left.filter((part) => registers.includes(part))).toEqual([]);
      for (const lease of [first, next]) lease.release();
    } finally {
      await pool.close();
    }
  });
});

describeWithKvm("random numbers", () => {
  const draw = (sandbox: Sandbox): string =>
    Buffer.from(sync(sandbox, "random_bytes")(16) as Uint8Array).toString("hex");

  test("never come twice, whatever way leads back", async () => {
    const sandbox = await fresh();
    const drawn: string[] = [];
    for (let round = 0; round < 5; round++) {
      drawn.push(draw(sandbox), draw(sandbox));
      sandbox.restoreSync();
      drawn.push(draw(sandbox));
      await sandbox.restore();
      const snapshot = await sandbox.snapshot();
      open.add(snapshot);
      drawn.push(draw(sandbox));
      await sandbox.restore(snapshot);
      drawn.push(draw(sandbox));
      const others = [await sandboxOf({ snapshot }), await sandbox.fork(), await fresh()];
      for (const other of others) {
        open.add(other);
        drawn.push(draw(other), draw(other));
      }
      const after = await sandboxOf({ snapshot, restore: "after-call" });
      drawn.push(draw(after), draw(after));
      await codeOf(() => sync(after, "panic")("now"));
      drawn.push(draw(after));
    }
    expect(new Set(drawn).size).toBe(drawn.length);
  });

  test("that were drawn before the snapshot are the same in all its sandboxes", async () => {
    const [first, second] = [await fresh(), await fresh()];
    const start = (sandbox: Sandbox): unknown => sync(sandbox, "start_random")();
    expect(start(first)).toEqual(start(second));
    const other = await fresh({ args: ["another image"] });
    expect(start(other)).not.toEqual(start(first));
  });
});
