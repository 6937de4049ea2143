import { once } from "node:events";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { Sandbox, Snapshot } from "ampoule";

const hostFunctions = { resolve_link: (href) => href };

if (isMainThread) {
  const sandbox = await Sandbox.create({
    guest: new URL("../../guests/target/x86_64-unknown-linux-gnu/release/markdown", import.meta.url),
    hostFunctions,
  });
  const snapshot = await sandbox.snapshot();
  const threads = ["One", "Two"].map((title) => {
    const data = { id: snapshot.id, title };
    return new Worker(new URL(import.meta.url), { workerData: data });
  });
  const titles = await Promise.all(threads.map(async (thread) => (await once(thread, "message"))[0]));
  console.log(titles.join(" "));
  // Not before the threads have opened handles of their own.
  snapshot.close();
  await sandbox.close();
} else {
  const snapshot = Snapshot.open(workerData.id);
  const sandbox = await Sandbox.create({ snapshot, hostFunctions });
  snapshot.close();
  const { title } = await sandbox.call.render(`# ${workerData.title}`, null);
  await sandbox.close();
  parentPort.postMessage(title);
}
// Prints:
// One Two
