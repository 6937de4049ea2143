/**
 * Goes on from the snapshot `current` of a store, counts, and saves it there again, until it is killed:
 * `store`. Says what it is about to save and what it has saved, synchronously.
 */
import { writeSync } from "node:fs";
import { Sandbox, Snapshot } from "../../dist/index.js";
import { anyFunctions } from "./any-functions.mjs";

const [store] = process.argv.slice(2);
const loaded = await Snapshot.load(store, { tag: "current" });
const sandbox = await Sandbox.create({ snapshot: loaded, hostFunctions: anyFunctions });
for (;;) {
  const count = Number(await sandbox.call.counter());
  const snapshot = await sandbox.snapshot();
  writeSync(1, `saving ${count}\n`);
  await snapshot.save(store, { tag: "current", metadata: { count: String(count) } });
  writeSync(1, `saved ${count}\n`);
  snapshot.close();
}
