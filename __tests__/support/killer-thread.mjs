/** A worker thread that kills sandboxes of other threads by their ids, at once or a little later. */
import { parentPort } from "node:worker_threads";
import { Sandbox } from "../../dist/index.js";

let sink = 0;

parentPort?.on("message", ({ id, after }) => {
  // Computes for a while: a timer's shortest time is longer than most calls.
  for (let step = 0; step < after; step++) sink = (sink + step) | 0;
  Sandbox.kill(id);
  parentPort?.postMessage({ id, sink });
});
parentPort?.postMessage("ready");
