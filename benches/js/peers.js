/**
 * Other ways of running somebody's function from Node.js, for orientation: most isolate less. Each
 * adds two numbers, in an instance that is there already and in a fresh one.
 */
import { fork } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import vm from "node:vm";
import { Worker } from "node:worker_threads";
import { samplesAt } from "./effort.js";
import { create } from "./guest.js";
import { inTurns, sample, sampleAsync } from "./measure.js";

const ADD = "(left, right) => (left + right) | 0";
const ANSWER = fileURLToPath(new URL("peer-answer.js", import.meta.url));

export async function peers(effort, report) {
  const { rounds, samples } = effort;
  const few = samplesAt(effort, 40);
  const sandbox = await create();
  const context = vm.runInNewContext(ADD);
  const worker = new Worker(ANSWER);
  const child = fork(ANSWER);
  await Promise.all([ask(worker), ask(child)]);
  const contestants = {
    "ampoule, callSync": () => sample(samples, () => check(sandbox.callSync.add(20, 22))),
    "ampoule, await call": () =>
      sampleAsync(samples, async () => check(await sandbox.call.add(20, 22))),
    "ampoule, fresh sandbox": () => sampleAsync(few, freshSandbox, { after: close }),
    "node:vm": () => sample(samples, () => check(context(20, 22))),
    "node:vm, fresh context": () => sample(few, () => check(vm.runInNewContext(ADD)(20, 22))),
    worker_threads: () => sampleAsync(samples, () => ask(worker)),
    "worker_threads, fresh worker": () =>
      sampleAsync(few, freshWorker, { after: (fresh) => fresh.terminate() }),
    "child process": () => sampleAsync(samples, () => ask(child)),
    "child process, fresh": () => sampleAsync(2, freshChild, { after: (fresh) => fresh.kill() }),
    ...(await quickjs(few, samples, report)),
    ...(await isolatedVm(few, samples, report)),
  };
  const series = await inTurns(rounds, contestants);
  for (const [name, each] of Object.entries(series)) {
    const isFresh = name.includes("fresh");
    const own = isFresh ? "ampoule, fresh sandbox" : "ampoule, callSync";
    const floor = name === own ? {} : { floor: { name: own, series: series[own] } };
    report.add("peers", name, each, floor);
  }
  child.kill();
  await worker.terminate();
  await sandbox.close();
}

async function freshSandbox() {
  const sandbox = await create();
  check(await sandbox.call.add(20, 22));
  return sandbox;
}

function close(sandbox) {
  return sandbox.close();
}

async function freshWorker() {
  const worker = new Worker(ANSWER);
  await ask(worker);
  return worker;
}

async function freshChild() {
  const child = fork(ANSWER);
  await ask(child);
  return child;
}

/** Sends a question to a thread or process and waits for its answer. */
async function ask(other) {
  const answer = new Promise((resolve) => other.once("message", resolve));
  if (other instanceof Worker) other.postMessage([20, 22]);
  else other.send([20, 22]);
  check(await answer);
}

function check(sum) {
  if (sum !== 42) throw new Error(`20 + 22 = ${sum}`);
}

/**
 * A peer that is no dependency of ours: found in the folder that AMPOULE_BENCH_PEERS names (`npm
 * install quickjs-emscripten isolated-vm` there), else left out.
 */
function optional(name, report) {
  const folder = process.env.AMPOULE_BENCH_PEERS;
  try {
    if (folder === undefined) throw new Error("AMPOULE_BENCH_PEERS is not set");
    return createRequire(join(folder, "index.js"))(name);
  } catch (error) {
    report.note(`${name} was left out: ${error.message.split("\n")[0]}`);
    return null;
  }
}

async function quickjs(few, samples, report) {
  const library = optional("quickjs-emscripten", report);
  if (library === null) return {};
  const quickJs = await library.getQuickJS();
  const enter = () => {
    const context = quickJs.newContext();
    return { context, add: context.unwrapResult(context.evalCode(ADD)) };
  };
  const run = ({ context, add }) => {
    const [left, right] = [context.newNumber(20), context.newNumber(22)];
    const result = context.unwrapResult(context.callFunction(add, context.undefined, left, right));
    check(context.getNumber(result));
    for (const handle of [left, right, result]) handle.dispose();
  };
  const kept = enter();
  return {
    "quickjs-emscripten": () => sample(samples, () => run(kept)),
    "quickjs-emscripten, fresh context": () =>
      sample(few, () => {
        const fresh = enter();
        run(fresh);
        fresh.add.dispose();
        fresh.context.dispose();
      }),
  };
}

async function isolatedVm(few, samples, report) {
  const library = optional("isolated-vm", report);
  if (library === null) return {};
  const enter = () => {
    const isolate = new library.Isolate({ memoryLimit: 64 });
    const context = isolate.createContextSync();
    return { isolate, add: context.evalSync(ADD, { reference: true }) };
  };
  const kept = enter();
  return {
    "isolated-vm": () => sample(samples, () => check(kept.add.applySync(undefined, [20, 22]))),
    "isolated-vm, fresh isolate": () =>
      sample(few, () => {
        const fresh = enter();
        check(fresh.add.applySync(undefined, [20, 22]));
        fresh.isolate.dispose();
      }),
  };
}
