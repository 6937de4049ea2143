/** Snapshots: taking them, sharing them, and sandboxes that begin as one. */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { expect, test } from "@jest/globals";
import { Snapshot } from "../ts/index.js";
import { async, failureOf, HOST_FUNCTIONS, rustGuest, sync, testing } from "./support/guests.js";
import { requireBuild } from "./support/killer.js";
import { describeWithKvm } from "./support/kvm.js";
import { closing, count, counted, from } from "./support/snapshots.js";

/** Workers and other processes load the compiled package: nothing compiles TypeScript for them. */
const AMPOULE = JSON.stringify(new URL("../dist/index.js", import.meta.url).href);

/** Drops a snapshot, in a process of its own: Jest keeps objects alive. */
const DROPPING = `
  import { Sandbox, Snapshot } from ${AMPOULE};
  const names = ${JSON.stringify(Object.keys(HOST_FUNCTIONS))};
  const hostFunctions = Object.fromEntries(names.map((name) => [name, () => null]));
  let warned = false;
  process.on("warning", ({ code }) => { warned ||= code === "AMPOULE_UNCLOSED_SNAPSHOT"; });
  const guest = ${JSON.stringify(rustGuest("testing"))};
  const sandbox = await Sandbox.create({ guest, hostFunctions, name: "dropper" });
  const id = await (async () => (await sandbox.snapshot()).id)();
  // Collection comes when it comes; the time limit of the process bounds the wait.
  while (!warned) {
    gc();
    await new Promise(setImmediate);
  }
  try { Snapshot.open(id); } catch ({ code }) { console.log(code); }
  await sandbox.close();
`;

describeWithKvm("a snapshot", () => {
  test("is where sandboxes begin and what they go back to", async () => {
    const sandbox = await testing();
    expect(count(sandbox)).toBe(1n);
    const snapshot = closing(await sandbox.snapshot());
    expect(snapshot.interface).toEqual(sandbox.interface);
    expect(snapshot.memoryBytes).toBeGreaterThan(4096);
    const others = await Promise.all([from(snapshot), from(snapshot), from(snapshot)]);
    for (let round = 0; round < 3; round++) {
      for (const each of [sandbox, ...others]) {
        expect(count(each)).toBe(2n);
        expect(await counted(each)).toBe(3n);
      }
      await sandbox.restore(snapshot);
      for (const each of others) await each.restore();
    }
    await sandbox.restore();
    expect(count(sandbox)).toBe(1n);
    for (const { statistics } of others) {
      expect(statistics).toMatchObject({ initialisations: 0, calls: 6, restores: 3 });
    }
  });

  test("outlives its handles and its sandbox", async () => {
    const sandbox = await testing();
    count(sandbox);
    const snapshot = await sandbox.snapshot();
    const other = await from(snapshot);
    snapshot.close();
    snapshot.close();
    await sandbox.close();
    expect(count(other)).toBe(2n);
    other.restoreSync();
    expect(count(other)).toBe(2n);
    expect(await failureOf(() => other.restore(snapshot))).toMatchObject({
      code: "ERR_AMPOULE_CLOSED",
    });
    expect(await failureOf(() => from(snapshot))).toMatchObject({ code: "ERR_AMPOULE_CLOSED" });
    expect(await failureOf(() => Snapshot.open(snapshot.id))).toMatchObject({
      code: "ERR_AMPOULE_SNAPSHOT_NOT_FOUND",
    });
    expect(other.state).toBe("ready");
  });

  test("is taken in turn, and of a ready sandbox only", async () => {
    const sandbox = await testing();
    const [first, snapshot, second] = await Promise.all([
      counted(sandbox),
      sandbox.snapshot(),
      counted(sandbox),
    ]);
    closing(snapshot);
    expect([first, second]).toEqual([1n, 2n]);
    expect(count(await from(snapshot))).toBe(2n);
    await failureOf(() => sync(sandbox, "panic")("on purpose"));
    expect(await failureOf(() => sandbox.snapshot())).toMatchObject({
      code: "ERR_AMPOULE_POISONED",
    });
    expect(await failureOf(() => sandbox.fork())).toMatchObject({ code: "ERR_AMPOULE_POISONED" });
    await sandbox.close();
    for (const act of [() => sandbox.snapshot(), () => sandbox.fork()]) {
      expect(await failureOf(act)).toMatchObject({ code: "ERR_AMPOULE_CLOSED" });
    }
  });

  test("has an id by which others open it", async () => {
    const sandbox = await testing();
    count(sandbox);
    const snapshot = await sandbox.snapshot();
    const again = closing(Snapshot.open(snapshot.id));
    expect(again).not.toBe(snapshot);
    snapshot[Symbol.dispose]();
    expect([snapshot.closed, again.closed]).toEqual([true, false]);
    expect(count(await from(again))).toBe(2n);
    for (const id of [0, -1, 0.5, "1", undefined]) {
      expect(await failureOf(() => Snapshot.open(id as number))).toMatchObject({
        code: "ERR_AMPOULE_INVALID_ARGUMENT",
      });
    }
  });

  test("is warned of and closed when it is dropped", () => {
    const args = ["--expose-gc", "--input-type=module", "-e", DROPPING];
    const options = { encoding: "utf8", timeout: 120_000 } as const;
    const { status, stdout, stderr } = spawnSync(process.execPath, args, options);
    expect([status, stdout]).toEqual([0, "ERR_AMPOULE_SNAPSHOT_NOT_FOUND\n"]);
    expect(stderr).toContain('a snapshot of "dropper" was garbage-collected without close()');
  });
});

describeWithKvm("a sandbox from a snapshot", () => {
  test("binds its own host functions, by name", async () => {
    const snapshot = closing(await (await testing()).snapshot());
    const sandbox = await from(snapshot, {
      hostFunctions: { ...HOST_FUNCTIONS, fetch_number: (id: number) => id * 100 },
    });
    expect(sync(sandbox, "sum_via_host")(3)).toBe(300n);
    const { fetch_user: _, ...others } = HOST_FUNCTIONS;
    const failure = await failureOf(() => from(snapshot, { hostFunctions: others }));
    expect(failure).toMatchObject({
      code: "ERR_AMPOULE_MISSING_HOST_FUNCTION",
      details: { missing: ["fetch_user"] },
    });
  });

  test("has its own limits, outputs, input and name", async () => {
    const original = await testing({ limits: { hostCalls: 1000 } });
    const snapshot = closing(await original.snapshot());
    const written: string[] = [];
    const sandbox = await from(snapshot, {
      name: "other",
      stdin: "its own",
      stdout: (chunk: Uint8Array) => void written.push(Buffer.from(chunk).toString()),
      limits: { hostCalls: 3, output: 100, timeoutMs: 50, depth: 4 },
    });
    expect(sandbox.name).toBe("other");
    expect(original.name).toBe("testing");
    expect((await from(snapshot)).name).toBe("testing");
    expect(Buffer.from(sync(sandbox, "read_stdin")() as Uint8Array).toString()).toBe("its own");
    sync(sandbox, "print_line")("here");
    expect(written).toEqual(["here\n"]);
    for (const [name, argument, code] of [
      ["sum_via_host", 5, "ERR_AMPOULE_HOST_CALL_LIMIT"],
      ["print_line", "x".repeat(200), "ERR_AMPOULE_OUTPUT_LIMIT"],
      ["spin", 1_000_000, "ERR_AMPOULE_TIMEOUT"],
    ] as const) {
      expect(await failureOf(() => async(sandbox, name)(argument))).toMatchObject({ code });
      await sandbox.restore();
    }
    expect(sync(original, "sum_via_host")(5)).toBe(20n);
  });

  test("refuses what the snapshot has decided", async () => {
    const snapshot = closing(await (await testing()).snapshot());
    for (const options of [
      { memory: "64MiB" },
      { args: [] },
      { env: {} },
      { files: {} },
      { guest: "somewhere" },
      { limits: { message: "64KiB" } },
      { limits: { stack: "64KiB" } },
      { restore: "sometimes" },
      { snapshot: {} },
      { snapshot: null },
      { limits: { depth: 65 } },
      { name: "" },
      { unknown: 1 },
    ]) {
      expect(await failureOf(() => from(snapshot, options))).toMatchObject({
        code: "ERR_AMPOULE_INVALID_ARGUMENT",
      });
    }
    const signal = AbortSignal.abort();
    expect(await failureOf(() => from(snapshot, { signal }))).toMatchObject({
      code: "ERR_AMPOULE_ABORTED",
    });
  });

  test("can be a fork, with everything of its own from then on", async () => {
    const written: string[] = [];
    const sandbox = await testing({
      stdout: (chunk: Uint8Array) => void written.push(Buffer.from(chunk).toString()),
      limits: { hostCalls: 4 },
      hostFunctions: { fetch_number: (id: number) => id + 7 },
    });
    count(sandbox);
    const fork = closing(await sandbox.fork());
    const patient = closing(await sandbox.fork({ limits: { timeoutMs: 1000 }, name: "patient" }));
    expect([count(fork), count(fork), count(sandbox), count(patient)]).toEqual([2n, 3n, 2n, 2n]);
    expect(sync(fork, "sum_via_host")(2)).toBe(15n);
    sync(fork, "print_line")("from the fork");
    expect(written).toEqual(["from the fork\n"]);
    expect([fork.name, patient.name]).toEqual(["testing", "patient"]);
    for (const each of [fork, patient]) {
      expect(await failureOf(() => sync(each, "sum_via_host")(5))).toMatchObject({
        code: "ERR_AMPOULE_HOST_CALL_LIMIT",
      });
      await each.restore();
      expect(count(each)).toBe(2n);
    }
    expect(await failureOf(() => sandbox.fork({ memory: 1 } as never))).toMatchObject({
      code: "ERR_AMPOULE_INVALID_ARGUMENT",
    });
  });
});

describeWithKvm("worker threads", () => {
  const worker = (code: string, workerData: unknown): Worker => {
    const source = `
      import { parentPort, workerData } from "node:worker_threads";
      import { Sandbox, Snapshot } from ${AMPOULE};
      const names = ${JSON.stringify(Object.keys(HOST_FUNCTIONS))};
      const hostFunctions = Object.fromEntries(names.map((name) => [name, () => null]));
      const snapshot = workerData === 0 ? undefined : Snapshot.open(workerData);
      ${code}
    `;
    const url = new URL(`data:text/javascript,${encodeURIComponent(source)}`);
    return new Worker(url, { workerData });
  };

  test("open a snapshot by its id, and share it", async () => {
    requireBuild();
    const sandbox = await testing();
    count(sandbox);
    const snapshot = closing(await sandbox.snapshot());
    const code = `
      const sandbox = await Sandbox.create({ snapshot, hostFunctions });
      const counts = [];
      for (let round = 0; round < 3; round++) {
        counts.push(await sandbox.call.counter(), sandbox.callSync.counter());
        await sandbox.restore(snapshot);
      }
      snapshot.close();
      await sandbox.close();
      parentPort.postMessage(counts);
    `;
    const counts = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const [message] = await once(worker(code, snapshot.id), "message");
        return message;
      }),
    );
    expect(counts).toEqual(Array(3).fill([2n, 3n, 2n, 3n, 2n, 3n]));
    expect(count(await from(snapshot))).toBe(2n);
  });

  test("that end close their handles", async () => {
    const sandbox = await testing();
    for (const code of [
      "",
      "void Sandbox.create({ snapshot, hostFunctions }).then((sandbox) => sandbox.restore());",
    ]) {
      const snapshot = await sandbox.snapshot();
      const { id } = snapshot;
      const thread = worker(
        `${code} parentPort.on("message", () => {}); parentPort.postMessage(1);`,
        id,
      );
      await once(thread, "message");
      snapshot.close();
      Snapshot.open(id).close();
      await thread.terminate();
      expect(await failureOf(() => Snapshot.open(id))).toMatchObject({
        code: "ERR_AMPOULE_SNAPSHOT_NOT_FOUND",
      });
    }
  });

  test("that end close the handles of what they loaded", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ampoule-"));
    try {
      const snapshot = closing(await (await testing()).snapshot());
      await snapshot.save(folder, { tag: "one" });
      const thread = worker(
        `parentPort.on("message", () => {});
        const loaded = await Snapshot.load(${JSON.stringify(folder)}, { tag: "one" });
        parentPort.postMessage(loaded.id);`,
        0,
      );
      const [id] = (await once(thread, "message")) as [number];
      Snapshot.open(id).close();
      await thread.terminate();
      expect(await failureOf(() => Snapshot.open(id))).toMatchObject({
        code: "ERR_AMPOULE_SNAPSHOT_NOT_FOUND",
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
