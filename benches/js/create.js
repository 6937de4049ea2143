/** Making sandboxes from JavaScript, with so many alive, and what each of them takes. */
import { readFileSync } from "node:fs";
import { Sandbox } from "ampoule";
import { samplesAt } from "./effort.js";
import { floors } from "./floors.js";
import { create, OPTIONS, snapshotHolding } from "./guest.js";
import { inTurns, Series, sampleAsync } from "./measure.js";

/** MiB of the image that all live sandboxes share. */
const HELD_MIB = 16;
const COST = 20;
/** Virtual machines of closed sandboxes that the process keeps for others. */
const LEFT_MAX = 8;

let images = 0;

export async function creation(effort, report) {
  const { rounds } = effort;
  const snapshot = await snapshotHolding(HELD_MIB);
  const fromSnapshot = () =>
    Sandbox.create({ snapshot, hostFunctions: OPTIONS.hostFunctions, stdout: "ignore" });
  await first(effort, report);
  // A sandbox that was called and is closed is what an image learns its working set from.
  for (const make of [fromSnapshot, () => create()]) {
    const sandbox = await make();
    await sandbox.call.add(1, 2);
    await sandbox.close();
  }
  const alive = [];
  for (const count of effort.live) {
    const before = memory();
    const had = alive.length;
    while (alive.length < count) {
      const sandbox = await fromSnapshot();
      await sandbox.call.add(alive.length, 0);
      alive.push(sandbox);
    }
    if (count >= 100) density(report, before, memory(), count - had, count);
    const samples = samplesAt(effort, count >= 1000 ? COST * 2 : COST);
    await at(count, rounds, samples, fromSnapshot, report);
  }
  await answers(alive, report);
  await Promise.all(alive.map((sandbox) => sandbox.close()));
  snapshot.close();
}

/** The first sandbox of its kind: the guest is loaded and initialised. */
async function first(effort, report) {
  const series = new Series();
  for (let round = 0; round < effort.rounds; round++) {
    // Its arguments are part of what an image is known by.
    const options = () => ({ args: [`image ${++images}`] });
    const make = () => create(options());
    series.rounds.push(await sampleAsync(2, make, { after: (sandbox) => sandbox.close() }));
  }
  report.add("js create", "create, first of its image", series);
}

async function at(count, rounds, samples, fromSnapshot, report) {
  const destroyed = new Series();
  const closed = new Series();
  const answered = async () => {
    const sandbox = await fromSnapshot();
    await sandbox.call.add(1, 2);
    return sandbox;
  };
  const series = await inTurns(rounds, {
    create: () => {
      const times = floors.createTurn(samples);
      destroyed.rounds.push(times.filter((_, index) => index % 2 === 1));
      return times.filter((_, index) => index % 2 === 0);
    },
    fromSnapshot: () => inNewMachines(samples, fromSnapshot, closed),
    fromImage: () => inNewMachines(samples, () => create()),
    answered: () => inNewMachines(samples, answered),
    recycled: () => sampleAsync(samples, fromSnapshot, { after: (sandbox) => sandbox.close() }),
  });
  const parameters = { live: count };
  const floor = { name: "create", series: series.create };
  const goal = 1.15 * series.create.p50;
  const add = (name, each, more) => report.add("js create", name, each, { parameters, ...more });
  add("create", series.create);
  add("destroy", destroyed);
  add("create from a snapshot", series.fromSnapshot, { floor, goal });
  add("create from the image cache", series.fromImage, { floor, goal });
  add("create and first call", series.answered, { floor });
  add("create after a close", series.recycled, { floor });
  add("close", closed, { floor: { name: "destroy", series: destroyed } });
}

/**
 * Times of making sandboxes whose virtual machines are new: those that closed sandboxes left are
 * used up before, and none is closed until all are made.
 */
async function inNewMachines(samples, make, closed) {
  const made = [];
  for (let index = 0; index < LEFT_MAX; index++) made.push(await make());
  const after = (sandbox) => {
    made.push(sandbox);
  };
  const times = await sampleAsync(samples, make, { after });
  const ends = [];
  for (const sandbox of made) {
    const start = performance.now();
    await sandbox.close();
    ends.push((performance.now() - start) * 1000);
  }
  closed?.rounds.push(ends);
  return times;
}

/** Memory of this process, and of the machine, in KiB. */
function memory() {
  globalThis.gc?.();
  const rollup = readFileSync("/proc/self/smaps_rollup", "utf8");
  const machine = readFileSync("/proc/meminfo", "utf8");
  const field = (text, name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1]);
  return {
    private: field(rollup, "Private_Clean") + field(rollup, "Private_Dirty"),
    available: field(machine, "MemAvailable"),
  };
}

/** What each sandbox that was added took. */
function density(report, before, after, added, count) {
  const each = {
    privateKiB: Math.round((after.private - before.private) / added),
    machineKiB: Math.round((before.available - after.available) / added),
  };
  report.count("density", `${count} sandboxes of one ${HELD_MIB} MiB image, each`, each, {
    goal: "private memory below 1024 KiB",
    met: each.privateKiB < 1024,
  });
}

/** Calls all of them, in an order of chance, and checks every answer. */
async function answers(alive, report) {
  const order = alive.map((_, index) => index);
  let state = 1;
  for (let index = order.length - 1; index > 0; index--) {
    state = (state * 48271) % 2147483647;
    const other = state % (index + 1);
    [order[index], order[other]] = [order[other], order[index]];
  }
  const times = [];
  for (const index of order) {
    const start = performance.now();
    const sum = alive[index].callSync.add(index, 1);
    times.push((performance.now() - start) * 1000);
    if (sum !== index + 1) throw new Error(`sandbox ${index} answered ${sum}`);
  }
  report.add("density", "callSync, each sandbox once, in random order", new Series([times]), {
    parameters: { live: alive.length },
  });
}
