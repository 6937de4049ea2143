/** Pools and the process around them: when it ends, what is collected, what it has too little of. */
import { spawnSync } from "node:child_process";
import { expect, test } from "@jest/globals";
import { rustGuest } from "./support/guests.js";
import { requireBuild } from "./support/killer.js";
import { describeWithKvm } from "./support/kvm.js";

const AMPOULE = new URL("../dist/index.js", import.meta.url).href;

/** What every program begins with. */
const HEAD = `
  import { closeSync, openSync, readdirSync, readlinkSync } from "node:fs";
  import { Pool } from ${JSON.stringify(AMPOULE)};
  const names = ["fetch_number", "fetch_user", "log_line", "transform", "describe_values"];
  const hostFunctions = Object.fromEntries(names.map((name) => [name, () => null]));
  const guest = ${JSON.stringify(rustGuest("testing"))};
  const create = (options) => Pool.create({ guest, memory: "16MiB", hostFunctions, ...options });
  const target = (name) => {
    try { return readlinkSync("/proc/self/fd/" + name); } catch { return ""; }
  };
  const machines = () =>
    readdirSync("/proc/self/fd").filter((name) => target(name).includes("kvm-vm")).length;
  const warnings = [];
  process.on("warning", ({ code }) => warnings.push(code));
  const collect = async () => {
    gc();
    await new Promise(setImmediate);
  };
  // Leaves nothing to make a sandbox of: takes all descriptors, also those of machines that are just
  // being closed, and whatever machines are kept for reuse.
  const useUp = async () => {
    const spare = await create({ size: { min: 1, max: 50 } });
    const held = [];
    // Kept from collection until the process ends.
    globalThis.leases = [spare];
    for (let failures = 0; failures < 3; ) {
      try { for (;;) held.push(openSync("/dev/null")); } catch {}
      await spare.acquire().then((lease) => leases.push(lease), () => failures++);
    }
    return () => held.splice(0).forEach((each) => { closeSync(each); });
  };
  const say = (...values) => console.log(values.map((value) => JSON.stringify(value)).join(" "));
`;

/** Runs a program in a process of its own, with at most so many file descriptors. */
function run(program: string, descriptors = 1000): { status: number | null; lines: string[] } {
  requireBuild();
  const limited = `ulimit -n ${descriptors}; exec "$0" "$@"`;
  const { status, stdout, stderr } = spawnSync(
    "sh",
    ["-c", limited, process.execPath, "--expose-gc", "--input-type=module", "-e", HEAD + program],
    { encoding: "utf8", timeout: 120_000, env: { ...process.env, NODE_NO_WARNINGS: "1" } },
  );
  expect(stderr).toBe("");
  return { status, lines: stdout.split("\n").slice(0, -1) };
}

describeWithKvm("a process with a pool", () => {
  test("ends while the pool is idle, whatever timers it has", () => {
    const program = `
      const pool = await create({ size: { min: 1, max: 3 }, idleMs: 1e9 });
      await Promise.all([1, 2, 3].map(() => pool.call.add(1, 2)));
      await pool.drain();
      say(pool.statistics.idle);
    `;
    expect(run(program)).toEqual({ status: 0, lines: ["3"] });
  });

  test("goes on while the pool is busy or callers wait", () => {
    const program = `
      const pool = await create({ size: 1 });
      // tidy: sleep: the guest does, so that the process has nothing else to do.
      for (const ms of [30, 20]) pool.call.sleep(ms).then(() => say("slept", ms));
      pool.acquire().then((lease) => {
        lease.release();
        return pool.close();
      }).then(() => say("closed", pool.statistics.size));
    `;
    const lines = ['"slept" 30', '"slept" 20', '"closed" 0'];
    expect(run(program)).toEqual({ status: 0, lines });
  });

  test("gets the sandbox of a dropped lease back, with a warning", () => {
    const program = `
      const pool = await create({ size: 1 });
      await (async () => {
        const { sandbox } = await pool.acquire();
        await sandbox.call.counter();
      })();
      let lease;
      pool.acquire().then((next) => { lease = next; });
      while (lease === undefined) await collect();
      say(warnings, Number(await lease.sandbox.call.counter()), pool.statistics.created);
      lease.release();
      await pool.close();
    `;
    expect(run(program)).toEqual({ status: 0, lines: ['["AMPOULE_UNRELEASED_LEASE"] 1 1'] });
  });

  test("does not lose a lease whose call still runs, nor a pool that somebody waits for", () => {
    const program = `
      const later = await (async () => {
        const pool = await create({ size: 1 });
        const lease = await pool.acquire();
        // tidy: sleep: the guest does; nothing else refers to the lease meanwhile.
        const slept = lease.sandbox.call.sleep(200);
        const waited = pool.acquire();
        slept.then(() => lease.release());
        return [slept, waited];
      })();
      let settled = false;
      Promise.all(later).finally(() => { settled = true; });
      while (!settled) await collect();
      const lease = await later[1];
      say(Number(await lease.sandbox.call.counter()), warnings);
      lease.release();
    `;
    expect(run(program)).toEqual({ status: 0, lines: ["1 []"] });
  });

  test("gets everything back from a pool that was dropped", () => {
    const program = `
      await (async () => {
        const pool = await create({ size: 3, idleMs: 1e9 });
        await Promise.all([1, 2, 3].map(() => pool.call.add(1, 2)));
        await pool.drain();
      })();
      say(machines());
      while (machines() > 0) await collect();
      while (!warnings.includes("AMPOULE_UNCLOSED_SNAPSHOT")) await collect();
      say([...new Set(warnings)].sort());
    `;
    const codes = '["AMPOULE_UNCLOSED_SANDBOX","AMPOULE_UNCLOSED_SNAPSHOT"]';
    expect(run(program)).toEqual({ status: 0, lines: ["3", codes] });
  });

  test("tells callers why no sandbox can be made, and goes on when one can", () => {
    const program = `
      const pool = await create({ size: { min: 0, max: 4 }, idleMs: 0 });
      // A closed sandbox leaves its VM to the next one for a moment.
      while (pool.statistics.size > 0 || machines() > 0) await collect();
      const free = await useUp();
      const calls = [pool.call.add(1, 2), pool.call.add(3, 4), pool.acquire()];
      const refused = await Promise.allSettled(calls);
      say(refused.map(({ reason }) => reason?.code));
      // After the first failure, one attempt at a time, with a pause before each.
      say(await pool.call.add(1, 2).catch(({ code }) => code));
      say(pool.statistics.failedCreations, pool.statistics.created);
      free();
      say(await pool.call.add(1, 2), pool.statistics.created);
      await pool.close();
    `;
    const code = '"ERR_AMPOULE_HYPERVISOR"';
    const { status, lines } = run(program, 100);
    expect(lines).toEqual([`[${code},${code},${code}]`, code, "4 1", "3 2"]);
    expect(status).toBe(0);
  });

  test("serves callers by the sandboxes there are when no more can be made", () => {
    const program = `
      const pool = await create({ size: { min: 1, max: 4 } });
      await useUp();
      const lease = await pool.acquire();
      say(await pool.call.add(1, 2).catch(({ code }) => code));
      const other = pool.call.add(3, 4);
      lease.release();
      say(await other, pool.statistics.size);
      await pool.close({ force: true });
    `;
    const { status, lines } = run(program, 100);
    expect(lines).toEqual(['"ERR_AMPOULE_HYPERVISOR"', "7 1"]);
    expect(status).toBe(0);
  });
});
