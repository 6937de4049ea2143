/** Many sandboxes on few runner threads. In a process of its own: the number of threads is set there. */
import { spawnSync } from "node:child_process";
import { expect, test } from "@jest/globals";
import { rustGuest } from "./support/guests.js";
import { requireBuild } from "./support/killer.js";
import { describeWithKvm } from "./support/kvm.js";

const AMPOULE = new URL("../dist/index.js", import.meta.url).href;

const SANDBOXES = 100;
const RUNNERS = 2;
/** Calls of each of the sandboxes that behave. */
const CALLS = 5;
const DEADLINE_MS = 5000;

/** Prints what happened, in order: who was done, and with what. */
const CODE = `
  import { readdirSync, readFileSync } from "node:fs";
  import { Pool } from ${JSON.stringify(AMPOULE)};
  const names = ["fetch_number", "fetch_user", "log_line", "transform", "describe_values"];
  const hogs = Number(process.argv[1]);
  const pool = await Pool.create({
    guest: ${JSON.stringify(rustGuest("testing"))},
    memory: "16MiB",
    hostFunctions: Object.fromEntries(names.map((name) => [name, () => null])),
    size: ${SANDBOXES},
  });
  const leases = await Promise.all(Array.from({ length: ${SANDBOXES} }, () => pool.acquire()));
  const events = [];
  const all = leases.map(async ({ sandbox: { call } }, index) => {
    if (index < hogs) {
      const error = await call.spin_forever({ timeoutMs: ${DEADLINE_MS} }).catch((error) => error);
      events.push(error.code);
      return;
    }
    for (let round = 1; round <= ${CALLS}; round++) {
      await call.compute(10_000n);
      events.push("computed");
      if (Number(await call.counter()) !== round) events.push("wrong");
    }
  });
  await Promise.all(all);
  const threads = readdirSync("/proc/self/task").map((id) =>
    readFileSync("/proc/self/task/" + id + "/comm", "utf8").trim());
  const runners = threads.filter((name) => name === "ampoule-runner").length;
  await pool.close({ force: true });
  console.log(JSON.stringify({ runners, events }));
`;

/** Calls of the sandbox beside those that keep the host busy. */
const INNOCENT_CALLS = 1000;

/** Prints how the calls of one sandbox ended while two others did what its arguments say, over and over. */
const BESIDE_HOSTILE = `
  import { Sandbox } from ${JSON.stringify(AMPOULE)};
  const names = ["fetch_number", "fetch_user", "log_line", "transform", "describe_values"];
  const innocent = await Sandbox.create({
    guest: ${JSON.stringify(rustGuest("testing"))},
    hostFunctions: Object.fromEntries(names.map((name) => [name, () => null])),
  });
  let done = false;
  const ends = new Set();
  const hostile = process.argv.slice(1).map(async (act) => {
    const sandbox = await Sandbox.create({
      guest: ${JSON.stringify(rustGuest("hostile"))},
      memory: "256MiB",
      hostFunctions: { touch: () => {} },
      limits: { timeoutMs: ${DEADLINE_MS} },
    });
    while (!done) {
      await sandbox.call[act]().catch((error) => ends.add(error.code));
      await sandbox.restore();
    }
    await sandbox.close();
  });
  let right = 0;
  for (let round = 1; round <= ${INNOCENT_CALLS}; round++) {
    if ((await innocent.call.add(round, 1)) === round + 1) right++;
  }
  done = true;
  await Promise.all(hostile);
  await innocent.close();
  console.log(JSON.stringify({ right, ends: [...ends] }));
`;

describeWithKvm("a sandbox that shares its runners with two hostile ones", () => {
  test.each([
    ["move_pieces", "fill_pieces"],
    ["draw_for_ever", "sleep_briefly"],
  ])(`finishes ${INNOCENT_CALLS} calls beside %s and %s`, (...acts) => {
    requireBuild();
    const env = { ...process.env, AMPOULE_RUNNERS: String(RUNNERS) };
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      ["--input-type=module", "-e", BESIDE_HOSTILE, ...acts],
      { encoding: "utf8", env, timeout: 300_000 },
    );
    expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
    expect(JSON.parse(stdout)).toEqual({ right: INNOCENT_CALLS, ends: ["ERR_AMPOULE_TIMEOUT"] });
  });
});

describeWithKvm(`${SANDBOXES} sandboxes on ${RUNNERS} runner threads`, () => {
  // As many endless loops as runners would hold them all if nobody took turns.
  test.each([1, RUNNERS])("complete their calls while %i loop endlessly", (hogs) => {
    requireBuild();
    const env = { ...process.env, AMPOULE_RUNNERS: String(RUNNERS) };
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      ["--input-type=module", "-e", CODE, String(hogs)],
      { encoding: "utf8", env, timeout: 300_000 },
    );
    expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
    const { runners, events } = JSON.parse(stdout) as { runners: number; events: string[] };
    expect(runners).toBe(RUNNERS);
    const computed = Array((SANDBOXES - hogs) * CALLS).fill("computed");
    expect(events).toEqual([...computed, ...Array(hogs).fill("ERR_AMPOULE_TIMEOUT")]);
  });
});
