/** Saves a guest with memory of a known content: `store guest MiB`. */
import { Sandbox } from "../../dist/index.js";
import { anyFunctions } from "./any-functions.mjs";

const [store, guest, mebibytes] = process.argv.slice(2);
const sandbox = await Sandbox.create({ guest, hostFunctions: anyFunctions });
await sandbox.call.hold_pages(Number(mebibytes) * 256);
const sum = await sandbox.call.sum_pages();
const snapshot = await sandbox.snapshot();
await snapshot.save(store, { metadata: { saver: "test" } });
snapshot.close();
console.log(JSON.stringify({ sum: String(sum) }));
await sandbox.close();
