/** Many sandboxes of one image. In a process of its own: Jest's memory would blur the count. */
import { spawnSync } from "node:child_process";
import { expect, test } from "@jest/globals";
import { rustGuest } from "./support/guests.js";
import { requireBuild } from "./support/killer.js";
import { describeWithKvm } from "./support/kvm.js";

const AMPOULE = new URL("../dist/index.js", import.meta.url).href;

const SANDBOXES = 1000;
const CALLS = 10_000;
const MIB = 1024 ** 2;

const CODE = `
  import { readFileSync } from "node:fs";
  import { Sandbox } from ${JSON.stringify(AMPOULE)};
  const names = ["fetch_number", "fetch_user", "log_line", "transform", "describe_values"];
  const hostFunctions = Object.fromEntries(names.map((name) => [name, () => null]));
  const options = { hostFunctions, stdout: "ignore", stderr: "ignore" };
  const privateBytes = () => {
    for (let round = 0; round < 3; round++) gc();
    const rollup = readFileSync("/proc/self/smaps_rollup", "utf8");
    const sizes = [...rollup.matchAll(/^Private_(?:Clean|Dirty): +(\\d+) kB$/gm)];
    return sizes.reduce((sum, [, kib]) => sum + Number(kib) * 1024, 0);
  };
  const template = await Sandbox.create({
    guest: ${JSON.stringify(rustGuest("testing"))},
    memory: "16MiB",
    ...options,
  });
  const snapshot = await template.snapshot();
  await template.close();

  const create = () => Sandbox.create({ snapshot, ...options });
  const first = await create();
  await first.call.counter();
  await first.close();
  const before = privateBytes();
  const sandboxes = [];
  const times = [];
  for (let made = 0; made < ${SANDBOXES}; made++) {
    const start = performance.now();
    sandboxes.push(await create());
    times.push(performance.now() - start);
  }
  const made = privateBytes();

  // Each counts its own calls.
  let state = 1;
  const random = (end) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * end);
  };
  const counts = sandboxes.map(() => 0);
  let wrong = 0;
  const visit = async (index) => {
    const answer = await sandboxes[index].call.counter();
    counts[index]++;
    if (Number(answer) !== counts[index]) wrong++;
  };
  for (const [index] of sandboxes.entries()) await visit(index);
  for (let call = ${SANDBOXES}; call < ${CALLS}; call++) await visit(random(${SANDBOXES}));
  const called = privateBytes();
  const initialised = sandboxes.filter(({ statistics }) => statistics.initialisations > 0).length;
  await Promise.all(sandboxes.map((sandbox) => sandbox.close()));
  snapshot.close();
  const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
  console.log(JSON.stringify({
    created: sandboxes.length,
    calls: counts.reduce((sum, count) => sum + count, 0),
    wrong,
    initialised,
    madeBytes: (made - before) / ${SANDBOXES},
    calledBytes: (called - before) / ${SANDBOXES},
    createMs: {
      first50: median(times.slice(0, 50)),
      around100: median(times.slice(75, 125)),
      last50: median(times.slice(-50)),
    },
  }));
`;

/** Sandboxes that the limit on file descriptors leaves room for. */
function roomFor(): number {
  const { stdout } = spawnSync("sh", ["-c", "ulimit -H -n"], { encoding: "utf8" });
  const limit = stdout.trim() === "unlimited" ? Number.POSITIVE_INFINITY : Number(stdout);
  return Math.floor((limit - 100) / 3);
}

describeWithKvm("density", () => {
  test(`${SANDBOXES} sandboxes of one image live in one process`, () => {
    requireBuild();
    if (roomFor() < SANDBOXES) {
      const reason = `the hard limit on file descriptors leaves room for ${roomFor()} sandboxes`;
      if (process.env["AMPOULE_REQUIRE_KVM"] === "1") throw new Error(reason);
      console.warn(`SKIPPED: ${reason}`);
      return;
    }
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      ["--expose-gc", "--input-type=module", "-e", CODE],
      { encoding: "utf8", timeout: 300_000 },
    );
    expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
    console.log(`density: ${stdout}`);
    const found = JSON.parse(stdout) as { madeBytes: number; calledBytes: number };
    expect(found).toMatchObject({ created: SANDBOXES, calls: CALLS, wrong: 0, initialised: 0 });
    expect(found.madeBytes).toBeLessThan(MIB);
    expect(found.calledBytes).toBeLessThan(MIB);
  });
});
