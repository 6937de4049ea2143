/** Going back to a snapshot: in turn, at once, after every call, and from a failure. */
import { spawnSync } from "node:child_process";
import { expect, test } from "@jest/globals";
import { Sandbox } from "../ts/index.js";
import { async, failureOf, HOST_FUNCTIONS, rustGuest, sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { turns } from "./support/random.js";
import { closing, count, counted } from "./support/snapshots.js";

const AMPOULE = JSON.stringify(new URL("../dist/index.js", import.meta.url).href);

describeWithKvm("a restore", () => {
  test("leads back from poison", async () => {
    const full = (): never => {
      throw new Error("full");
    };
    const sandbox = await testing({ stdout: full });
    for (const act of [
      // Broken off by the host while the guest waits to go on.
      () => sync(sandbox, "print_bytes")(new Uint8Array(100_000)),
      () => sync(sandbox, "panic")("on purpose"),
      () => async(sandbox, "spin_forever")({ timeoutMs: 5 }),
      () => sync(sandbox, "exit")(1),
    ]) {
      await failureOf(act);
      expect(sandbox.state).toBe("poisoned");
      expect(sandbox.failure).not.toBeNull();
      expect(await failureOf(() => counted(sandbox))).toMatchObject({
        code: "ERR_AMPOULE_POISONED",
      });
      await sandbox.restore();
      expect([sandbox.state, sandbox.failure]).toEqual(["ready", null]);
      expect(await counted(sandbox)).toBe(1n);
    }
    sandbox.kill();
    sandbox.restoreSync();
    expect(count(sandbox)).toBe(1n);
    Sandbox.kill(sandbox.id);
    await sandbox.restore();
    expect(count(sandbox)).toBe(1n);
    expect(sandbox.statistics.restores).toBe(6);
  });

  test("waits its turn, and what is behind it finds a clean sandbox", async () => {
    const sandbox = await testing();
    const settled = await Promise.allSettled([
      counted(sandbox),
      counted(sandbox),
      sandbox.restore(),
      counted(sandbox),
      async(sandbox, "panic")("on purpose"),
      counted(sandbox),
      sandbox.restore(),
      counted(sandbox),
      counted(sandbox),
    ]);
    const outcomes = settled.map((each) =>
      each.status === "fulfilled" ? each.value : each.reason.code,
    );
    expect(outcomes).toEqual([
      1n,
      2n,
      undefined,
      1n,
      "ERR_AMPOULE_GUEST_ABORT",
      "ERR_AMPOULE_POISONED",
      undefined,
      1n,
      2n,
    ]);
  });

  test("takes no counter back", async () => {
    const sandbox = await testing({ memory: "64MiB" });
    const other = await testing({ memory: "128MiB" });
    const snapshots = [
      undefined,
      closing(await other.snapshot()),
      undefined,
      closing(await sandbox.snapshot()),
    ];
    let { memoryBytes: _, systemCalls, unknownSystemCalls: __, ...before } = sandbox.statistics;
    for (const snapshot of snapshots) {
      await async(sandbox, "print_line")("a line");
      await async(sandbox, "allocate")(3_000_000n);
      expect(await async(sandbox, "sum_via_host")(2)).toBe(2n);
      await sandbox.restore(snapshot);
      const {
        memoryBytes: _,
        systemCalls: calls,
        unknownSystemCalls: __,
        ...now
      } = sandbox.statistics;
      for (const [name, value] of Object.entries(before)) {
        expect([name, now[name as keyof typeof now] >= value]).toEqual([name, true]);
      }
      expect(calls["write"]).toBe((systemCalls["write"] ?? 0) + 1);
      expect(now.hostCalls).toBe(before.hostCalls + 2);
      expect(now.restores).toBe(before.restores + 1);
      [before, systemCalls] = [now, calls];
    }
  });

  test("is refused in the middle of a call", async () => {
    const codes: unknown[] = [];
    const note = async (act: () => unknown): Promise<void> => {
      codes.push((await failureOf(act))["code"]);
    };
    const sandbox: Sandbox = await testing({
      hostFunctions: {
        fetch_number: async (id: number) => {
          await note(() => sandbox.restore());
          await note(() => sandbox.restoreSync());
          await note(() => sandbox.snapshot());
          await note(() => sandbox.fork());
          return id;
        },
      },
    });
    const call = async(sandbox, "sum_via_host")(1);
    await note(() => sandbox.restoreSync());
    expect(await call).toBe(0n);
    const inside = Array(4).fill("ERR_AMPOULE_REENTRANT");
    expect(codes).toEqual(["ERR_AMPOULE_BUSY", ...inside]);
    expect(sandbox.state).toBe("ready");
  });

  test("takes snapshots of the same guest only", async () => {
    const sandbox = await testing();
    const other = closing(
      await Sandbox.create({
        guest: rustGuest("markdown"),
        hostFunctions: { resolve_link: () => null },
      } as never),
    );
    const large = await testing({ limits: { message: "1MiB" } });
    for (const stranger of [other, large]) {
      const snapshot = closing(await stranger.snapshot());
      for (const act of [() => sandbox.restore(snapshot), () => sandbox.restoreSync(snapshot)]) {
        expect(await failureOf(act)).toMatchObject({ code: "ERR_AMPOULE_INCOMPATIBLE_SNAPSHOT" });
      }
    }
    for (const wrong of [null, 1, {}, sandbox]) {
      expect(await failureOf(() => sandbox.restore(wrong as never))).toMatchObject({
        code: "ERR_AMPOULE_INVALID_ARGUMENT",
      });
    }
    expect([sandbox.state, count(sandbox)]).toEqual(["ready", 1n]);
  });

  test("goes to memory of another size in a new virtual machine", async () => {
    const sandbox = await testing({ memory: "64MiB" });
    const large = await testing({ memory: "512MiB" });
    count(large);
    const snapshot = closing(await large.snapshot());
    count(sandbox);
    for (let round = 0; round < 3; round++) {
      await sandbox.restore(snapshot);
      expect(count(sandbox)).toBe(2n);
      expect(sync(sandbox, "allocate")(256n << 20n)).toBe(65536n);
      await sandbox.restore();
      expect(count(sandbox)).toBe(1n);
      expect(await failureOf(() => sync(sandbox, "allocate")(256n << 20n))).toBeDefined();
    }
    expect(sandbox.statistics.calls).toBe(1 + 3 * 4);
  });

  test("keeps its snapshot, although the handle is closed meanwhile", async () => {
    const sandbox = await testing();
    count(sandbox);
    const snapshot = await sandbox.snapshot();
    count(sandbox);
    const call = async(sandbox, "spin")(5);
    const restored = sandbox.restore(snapshot);
    snapshot.close();
    await Promise.all([call, restored]);
    expect(count(sandbox)).toBe(2n);
  });

  test("is stopped by kill and close, as is a snapshot, and nothing hangs", async () => {
    const outcomes = new Set<string>();
    for (let round = 0; round < 120; round++) {
      const sandbox = await testing();
      if (round % 3 === 0) await async(sandbox, "allocate")(20_000_000n);
      const act: Promise<unknown> =
        round % 2 === 0 ? sandbox.restore() : sandbox.snapshot().then((taken) => taken.close());
      await turns(round % 5);
      const stop = round % 4 < 2 ? "kill" : "close";
      const closed = stop === "kill" ? sandbox.kill() : sandbox.close();
      const code = await act.then(
        () => "done",
        (error) => error.code,
      );
      outcomes.add(`${stop}: ${code}`);
      await closed;
      expect(sandbox.state).toBe(stop === "kill" ? "poisoned" : "closed");
      if (stop === "kill") {
        await sandbox.restore();
        expect(count(sandbox)).toBe(1n);
      }
      await sandbox.close();
    }
    const possible = ["kill: ERR_AMPOULE_KILLED", "close: ERR_AMPOULE_CLOSED"];
    expect([...possible, "kill: done", "close: done"]).toEqual(
      expect.arrayContaining([...outcomes]),
    );
    expect([...outcomes]).toEqual(expect.arrayContaining(possible));
  });

  test("that fails leaves a broken sandbox, which another one mends", () => {
    const { status, stdout, stderr } = spawnSync(
      "bash",
      ["-c", 'ulimit -n 64; exec "$0" --input-type=module', process.execPath],
      { encoding: "utf8", input: BROKEN, timeout: 60_000 },
    );
    expect(stderr).toBe("");
    expect(JSON.parse(stdout)).toEqual([
      "ERR_AMPOULE_HYPERVISOR",
      "broken",
      "ERR_AMPOULE_HYPERVISOR",
      "ERR_AMPOULE_BROKEN",
      "ERR_AMPOULE_BROKEN",
      "ERR_AMPOULE_HYPERVISOR",
      "broken",
      "ready",
      "2",
    ]);
    expect(status).toBe(0);
  });
});

/** Restores to a snapshot that needs another virtual machine, without a file descriptor left for it. */
const BROKEN = `
  import { openSync, closeSync } from "node:fs";
  import { Sandbox } from ${AMPOULE};
  const names = ${JSON.stringify(Object.keys(HOST_FUNCTIONS))};
  const hostFunctions = Object.fromEntries(names.map((name) => [name, () => null]));
  const create = (memory) =>
    Sandbox.create({ guest: ${JSON.stringify(rustGuest("testing"))}, memory, hostFunctions });
  const [small, large] = [await create("64MiB"), await create("128MiB")];
  large.callSync.counter();
  const snapshot = await large.snapshot();
  const said = [];
  const code = async (act) => { try { await act(); said.push("done"); } catch (error) { said.push(error.code); } };
  const taken = [];
  for (;;) { try { taken.push(openSync("/dev/null")); } catch { break; } }
  await code(() => small.restore(snapshot));
  said.push(small.state, small.failure.code);
  await code(() => small.call.counter());
  await code(() => small.snapshot());
  await code(() => small.restoreSync(snapshot));
  said.push(small.state);
  taken.splice(0).forEach(closeSync);
  await small.restore(snapshot);
  said.push(small.state, String(small.callSync.counter()));
  await Promise.all([small.close(), large.close()]);
  snapshot.close();
  console.log(JSON.stringify(said));
`;

describeWithKvm("a sandbox that is restored after every call", () => {
  test("remembers nothing, and is ready whatever a call did", async () => {
    const sandbox = await testing({ restore: "after-call" });
    for (const call of [sync, async]) {
      expect([await call(sandbox, "counter")(), await call(sandbox, "counter")()]).toEqual([
        1n,
        1n,
      ]);
      for (const [name, args, code] of [
        ["fail", ["Kind", "message"], "ERR_AMPOULE_GUEST_ERROR"],
        ["panic", ["on purpose"], "ERR_AMPOULE_GUEST_ABORT"],
        ["recurse", [100_000], "ERR_AMPOULE_GUEST_FAULT"],
        ["exit", [2], "ERR_AMPOULE_GUEST_EXITED"],
        ["spin_forever", [{ timeoutMs: 5 }], "ERR_AMPOULE_TIMEOUT"],
        ["spin_forever", [{ cpuTimeMs: 5 }], "ERR_AMPOULE_CPU_TIME"],
      ] as const) {
        expect(await failureOf(() => call(sandbox, name)(...args))).toMatchObject({ code });
        expect([sandbox.state, sandbox.failure]).toEqual(["ready", null]);
        expect(await call(sandbox, "counter")()).toBe(1n);
      }
    }
    const { calls, restores } = sandbox.statistics;
    expect(restores).toBe(calls);
  });

  test("delivers results and output of the call that is undone", async () => {
    const written: string[] = [];
    const sandbox = await testing({
      restore: "after-call",
      stdout: (chunk: Uint8Array) => void written.push(Buffer.from(chunk).toString()),
    });
    for (const call of [sync, async]) {
      expect(await call(sandbox, "repeat")(100_000)).toBe("x".repeat(100_000));
      await call(sandbox, "print_line")("a line");
      await call(sandbox, "print_bytes")(new Uint8Array(200_000));
    }
    expect(written.join("").length).toBe(2 * (7 + 200_000));
    expect(sandbox.statistics.outputBytes).toBe(2 * (7 + 200_000));
  });

  test("goes on after an abort and is poisoned by a kill", async () => {
    const sandbox = await testing({
      restore: "after-call",
      hostFunctions: { fetch_number: () => new Promise(() => {}) },
    });
    for (const [name, ...args] of [
      ["spin_forever"],
      ["sum_via_host", 1],
      ["sleep", 1e6],
    ] as const) {
      const controller = new AbortController();
      const call = async(sandbox, name)(...args, { signal: controller.signal });
      const behind = counted(sandbox);
      await turns(5);
      controller.abort();
      expect(await failureOf(() => call)).toMatchObject({ code: "ERR_AMPOULE_ABORTED" });
      expect(await behind).toBe(1n);
      expect(sandbox.state).toBe("ready");
    }
    for (const alsoAbort of [false, true]) {
      const controller = new AbortController();
      const call = async(sandbox, "spin_forever")({ signal: controller.signal });
      if (alsoAbort) controller.abort();
      sandbox.kill();
      expect(await failureOf(() => call)).toMatchObject({
        code: alsoAbort ? "ERR_AMPOULE_ABORTED" : "ERR_AMPOULE_KILLED",
      });
      expect(sandbox.state).toBe("poisoned");
      await sandbox.restore();
      expect(await counted(sandbox)).toBe(1n);
    }
  });

  test("goes on after the host broke a call off", async () => {
    const sandbox = await testing({
      restore: "after-call",
      hostFunctions: { fetch_number: async () => 1 },
      stdin: (async function* () {})(),
      stdout: () => {
        throw new Error("full");
      },
    });
    for (const [name, ...args] of [["read_stdin"], ["sum_via_host", 1]] as const) {
      expect(await failureOf(() => sync(sandbox, name)(...args))).toMatchObject({
        code: "ERR_AMPOULE_ASYNC_HOST_FUNCTION",
      });
      expect([sandbox.state, count(sandbox)]).toEqual(["ready", 1n]);
    }
    for (const call of [sync, async]) {
      const large = new Uint8Array(100_000);
      expect(await failureOf(() => call(sandbox, "print_bytes")(large))).toMatchObject({
        code: "ERR_AMPOULE_HOST_FUNCTION",
      });
      expect([sandbox.state, count(sandbox)]).toEqual(["ready", 1n]);
    }
  });

  test("reads bytes from their start again, and an iterable once", async () => {
    const read = async (sandbox: Sandbox): Promise<string> =>
      Buffer.from((await async(sandbox, "read_stdin")()) as Uint8Array).toString();
    const text = await testing({ restore: "after-call", stdin: "again" });
    expect([await read(text), await read(text)]).toEqual(["again", "again"]);
    const chunks = [Buffer.from("only "), Buffer.from("once")];
    const once = await testing({ restore: "after-call", stdin: chunks });
    expect([await read(once), await read(once)]).toEqual(["only once", ""]);
    count(once);
    expect(await read(once)).toBe("");
  });
});
