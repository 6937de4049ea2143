/**
 * Measures how late deadlines, aborts and CPU limits are, for every act of the hostile guest that never ends.
 * Only a quiet machine tells something: what other processes take is late, too.
 *
 * usage: npm run campaign -- deadlines [rounds] [memory] [act ...]
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ROOT } from "../process.js";

// Another build can be measured with the same guests.
const dist = process.env["AMPOULE_DIST"] ?? join(ROOT, "dist");
const { Sandbox } = await import(pathToFileURL(join(dist, "index.js")).href);
const guest = join(ROOT, "guests/target/x86_64-unknown-linux-gnu/release/hostile");

const LIMIT_MS = 150;
const [rounds = "3", memory = "256MiB", ...only] = process.argv.slice(2);

const { exports } = JSON.parse(spawnSync(guest, ["describe"], { encoding: "utf8" }).stdout);
const endless = exports.filter(({ name, documentation }) =>
  only.length > 0 ? only.includes(name) : documentation.split(":", 1)[0].includes("TIMEOUT"),
);

/** Milliseconds by which a call ended later than it should, and what it ended with. */
async function late(sandbox, call) {
  const before = process.cpuUsage();
  const began = performance.now();
  let due = LIMIT_MS;
  const code = await call((at) => {
    due = at - began;
  }).then(
    () => "returned",
    (error) => error.code.replace("ERR_AMPOULE_", ""),
  );
  const wall = performance.now() - began;
  const { user, system } = process.cpuUsage(before);
  await sandbox.restore();
  return { code, wall: wall - due, cpu: (user + system) / 1000 - LIMIT_MS };
}

const table = [];
for (const { name } of endless) {
  const sandbox = await Sandbox.create({
    guest,
    memory,
    hostFunctions: { touch: () => {} },
    limits: { output: Number.POSITIVE_INFINITY, hostCalls: Number.POSITIVE_INFINITY },
    stdout: "ignore",
    stderr: "ignore",
  });
  const act = (table) => async (options) => sandbox[table][name](options);
  const ways = {
    callSync: () => act("callSync")({ timeoutMs: LIMIT_MS }),
    call: () => act("call")({ timeoutMs: LIMIT_MS }),
    abort: (isDue) => {
      const abort = new AbortController();
      setTimeout(() => {
        isDue(performance.now());
        abort.abort();
      }, LIMIT_MS);
      return act("call")({ signal: abort.signal });
    },
    cpu: () => act("call")({ cpuTimeMs: LIMIT_MS, timeoutMs: 60 * LIMIT_MS }),
  };
  const row = { act: name };
  for (const [way, call] of Object.entries(ways)) {
    let worst = 0;
    for (let round = 0; round < Number(rounds); round++) {
      const { code, wall, cpu } = await late(sandbox, call);
      // Not the time that a guest slept, nor what it takes to say that one faulted.
      if (code !== "returned") worst = Math.max(worst, way === "cpu" ? cpu : wall);
    }
    row[`${way} (ms late)`] = Number(worst.toFixed(1));
  }
  table.push(row);
  await sandbox.close();
}
const worst = (row) => Math.max(...Object.values(row).filter((value) => typeof value === "number"));
console.table(table.sort((a, b) => worst(b) - worst(a)));
