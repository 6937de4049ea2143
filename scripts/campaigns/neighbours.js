/**
 * Makes 1,000 calls of an innocent sandbox beside two that play an endless act of the hostile guest, act by act.
 * Prints how long they took, and fails if one of them did.
 *
 * usage: npm run campaign -- neighbours [calls] [act ...]
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { Sandbox } from "../../dist/index.js";
import { ROOT } from "../process.js";

const guest = join(ROOT, "guests/target/x86_64-unknown-linux-gnu/release/hostile");
const DEADLINE_MS = 150;
const [calls = "1000", ...only] = process.argv.slice(2);

const { exports } = JSON.parse(spawnSync(guest, ["describe"], { encoding: "utf8" }).stdout);
const endless = exports
  .filter(({ documentation }) => documentation.split(":", 1)[0].includes("TIMEOUT"))
  .map(({ name }) => name)
  .filter((name) => only.length === 0 || only.includes(name));

function create(timeoutMs) {
  return Sandbox.create({
    guest,
    memory: "256MiB",
    hostFunctions: { touch: () => {} },
    limits: { timeoutMs },
    stdout: "ignore",
    stderr: "ignore",
  });
}

async function beside(act) {
  const innocent = await create(10_000);
  let over = false;
  const hostile = [1, 2].map(async () => {
    const sandbox = await create(DEADLINE_MS);
    while (!over) {
      await sandbox.call[act]().catch(() => {});
      await sandbox.restore();
    }
    await sandbox.close();
  });
  const times = [];
  const failures = [];
  for (let call = 0; call < Number(calls); call++) {
    const began = performance.now();
    await innocent.call.add(call, 1).then(
      (sum) => sum === call + 1 || failures.push("a wrong sum"),
      (error) => failures.push(error.code),
    );
    times.push(performance.now() - began);
    if (innocent.state !== "ready") await innocent.restore();
  }
  over = true;
  await Promise.all(hostile);
  await innocent.close();
  times.sort((one, other) => one - other);
  const at = (share) => Number(times[Math.floor((times.length - 1) * share)].toFixed(1));
  return { act, "p50 (ms)": at(0.5), "p99 (ms)": at(0.99), "longest (ms)": at(1), failures };
}

const table = [];
for (const act of endless) table.push(await beside(act));
console.table(
  table
    .map((row) => ({ ...row, failures: row.failures.length }))
    .sort((one, other) => other["longest (ms)"] - one["longest (ms)"]),
);
process.exitCode = table.every(({ failures }) => failures.length === 0) ? 0 : 1;
