/** The other side of a question in `peers.js`: a worker thread or a child process that adds. */
import { parentPort } from "node:worker_threads";

if (parentPort === null) {
  process.on("message", ([left, right]) => process.send((left + right) | 0));
} else {
  parentPort.on("message", ([left, right]) => parentPort.postMessage((left + right) | 0));
}
