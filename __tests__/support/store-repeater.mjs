/** Saves a guest over and over under its own tags and a shared one: `store guest name times`. */
import { Sandbox } from "../../dist/index.js";
import { anyFunctions } from "./any-functions.mjs";

const [store, guest, name, times] = process.argv.slice(2);
const sandbox = await Sandbox.create({ guest, hostFunctions: anyFunctions });
for (let number = 0; number < Number(times); number++) {
  await sandbox.call.counter();
  const snapshot = await sandbox.snapshot();
  await snapshot.save(store, { tag: `${name}-${number}` });
  await snapshot.save(store, { tag: "shared" });
  snapshot.close();
}
await sandbox.close();
