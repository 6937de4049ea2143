/**
 * The benchmarks in JavaScript; `benches/run.js` runs them together with those in Rust.
 *
 * usage: node --expose-gc benches/js/main.js [--quick | --smoke] [--json FILE] [NAME ...]
 */
import { writeFileSync } from "node:fs";
import * as ampoule from "ampoule";
import { call } from "./call.js";
import { creation } from "./create.js";
import { EFFORTS } from "./effort.js";
import { Report } from "./measure.js";
import { peers } from "./peers.js";
import { pool, throughput } from "./pool.js";
import { restore } from "./restore.js";
import { tracing } from "./tracing.js";

/** In this order: thousands of sandboxes change a process, so that they come last. */
const BENCHMARKS = { call, trace: tracing, restore, pool, throughput, peers, create: creation };

const args = process.argv.slice(2);
const at = args.indexOf("--json");
const file = at < 0 ? undefined : args.splice(at, 2)[1];
const effort = args.includes("--smoke") ? "smoke" : args.includes("--quick") ? "quick" : "full";
const names = args.filter((argument) => !argument.startsWith("--"));

// Answers of the floors' other thread do not keep the process alive by themselves.
const alive = setInterval(() => {}, 1 << 30);
const report = new Report();
for (const [name, measure] of Object.entries(BENCHMARKS)) {
  if (names.length > 0 && !names.includes(name)) continue;
  if (name === "pool" && !("Pool" in ampoule)) {
    report.note("pool was left out: this version has none");
    continue;
  }
  await measure(EFFORTS[effort], report);
}
clearInterval(alive);
if (file !== undefined) {
  const { measurements, counted, notes } = report;
  writeFileSync(file, JSON.stringify({ measurements, counted, notes }));
}
