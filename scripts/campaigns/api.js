/**
 * Random types, values and misuse of the whole interface, ten minutes (or `<seconds>`).
 * `<seconds> <seed>` goes the way of an earlier run again.
 */
import fc from "fast-check";
import { propertiesOf } from "../../__tests__/support/fuzz.mjs";
import * as api from "../../dist/index.js";

const RUNS = 25;
const seconds = Number(process.argv[2] ?? 600);
const seed = Number(process.argv[3] ?? Date.now() % 2 ** 31);
const guest = new URL(
  "../../guests/target/x86_64-unknown-linux-gnu/release/values",
  import.meta.url,
).pathname;

process.on("unhandledRejection", (reason) => {
  console.error("a promise was left behind:", reason);
  process.exit(1);
});
console.log(`seed ${seed}`);
const { properties, close } = propertiesOf(fc, api, guest);
const counts = Object.fromEntries(Object.keys(properties).map((name) => [name, 0]));
const end = performance.now() + 1000 * seconds;
for (let round = 0; performance.now() < end; round++) {
  for (const [name, property] of Object.entries(properties)) {
    const found = await fc.check(property, { seed: seed + round, numRuns: RUNS });
    counts[name] += found.numRuns;
    if (!found.failed) continue;
    console.error(`${name}, seed ${seed + round}:\n${fc.defaultReportMessage(found)}`);
    console.error(found.errorInstance?.cause ?? found.errorInstance);
    process.exit(1);
  }
}
await close();
console.log("no finding in", counts);
