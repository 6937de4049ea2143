/** Loads what `store-saver.mjs` saved, reads all of its memory, and tells what that cost: `store`. */
import { readFileSync } from "node:fs";
import { inspectStore, Sandbox, Snapshot } from "../../dist/index.js";
import { anyFunctions } from "./any-functions.mjs";

const [store] = process.argv.slice(2);
const [about] = await inspectStore(store);
const base = about.layers.find(({ kind }) => kind === "base").digest.slice("sha256:".length);
const snapshot = await Snapshot.load(store);
const sandbox = await Sandbox.create({ snapshot, hostFunctions: anyFunctions });
const sum = await sandbox.call.sum_pages();
const { initialisations, systemCalls } = sandbox.statistics;
const { mapped, own } = residence(base);
console.log(
  JSON.stringify({
    sum: String(sum),
    initialisations,
    systemCalls,
    metadata: about.metadata,
    mappedKiB: mapped,
    privateKiB: own,
  }),
);
await sandbox.close();
snapshot.close();

/**
 * KiB of the file `name` that are in this process's memory, and how many are its own: copies, which
 * are anonymous. (`Private_Dirty` counts pages of a tmpfs too.)
 */
function residence(name) {
  const found = { mapped: 0, own: 0 };
  let counts = false;
  for (const line of readFileSync("/proc/self/smaps", "utf8").split("\n")) {
    const field = /^(\w+):\s+(\d+) kB/.exec(line);
    if (field === null && /^[0-9a-f]+-/.test(line)) counts = line.includes(name);
    else if (counts && field?.[1] === "Rss") found.mapped += Number(field[2]);
    else if (counts && field?.[1] === "Anonymous") found.own += Number(field[2]);
  }
  return found;
}
