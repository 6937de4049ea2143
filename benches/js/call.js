/** Calls from JavaScript: synchronous, asynchronous, with host functions, with large messages. */
import { samplesAt } from "./effort.js";
import { floors, hop } from "./floors.js";
import { create } from "./guest.js";
import { inTurns, sample, sampleAsync } from "./measure.js";

const MIB = 2 ** 20;
/** Host calls in one call, and calls in flight. */
const MANY = 20;
const IN_FLIGHT = 100;
/** Empty native calls in one sample: one alone takes less than reading the clock. */
const BATCH = 1000;
/** The goal for 1 MiB: 2 GiB/s. */
const MIB_GOAL = 1e6 / 2048;

export async function call(effort, report) {
  const { rounds, samples } = effort;
  const sandbox = await create();
  const waiting = await create({ hostFunctions: { tick: async (number) => number } });
  const bytes = new Uint8Array(MIB).fill(1);
  const target = new Uint8Array(MIB).fill(2);
  const few = samplesAt(effort, 5);
  const series = await inTurns(rounds, {
    napi: () =>
      sample(samples, () => {
        for (let index = 0; index < BATCH; index++) floors.empty();
      }).map((time) => time / BATCH),
    exit: () => floors.exitTurn(samples),
    hop: () => sampleAsync(samples, hop),
    memcpy: () => sample(few, () => target.set(bytes)),
    callSync: () => sample(samples, () => sandbox.callSync.add(20, 22)),
    call: () => sampleAsync(samples, () => sandbox.call.add(20, 22)),
    hostSync: () => between(few, (count) => sandbox.callSync.ticks(count)),
    hostAsync: () => betweenAsync(few, (count) => waiting.call.ticks(count)),
    flight: async () => {
      const times = await sampleAsync(few, () =>
        Promise.all(Array.from({ length: IN_FLIGHT }, () => sandbox.call.add(20, 22))),
      );
      return times.map((time) => time / IN_FLIGHT);
    },
    take: () => sample(few, () => sandbox.callSync.take_bytes(bytes)),
    give: () => sample(few, () => sandbox.callSync.give_bytes(MIB)),
  });
  const before = sandbox.statistics;
  sample(samples, () => sandbox.callSync.add(20, 22));
  const after = sandbox.statistics;
  const exits = (after.exits - before.exits) / (after.calls - before.calls);
  const floor = (name) => ({ floor: { name, series: series[name] } });
  const onExit = { ...floor("exit"), goal: 1.15 * series.exit.p50 + 1 };
  const add = (name, key, more) => report.add("js call", name, series[key], more);
  add("napi", "napi");
  add("exit", "exit");
  add("hop", "hop");
  add("memcpy of 1 MiB", "memcpy");
  add("callSync of add", "callSync", { ...onExit, counts: { exits } });
  add("await call of add", "call", {
    ...floor("hop"),
    goal: series.callSync.p50 + 1.15 * series.hop.p50,
  });
  add("await call of add, 100 in flight, each", "flight", {
    ...floor("exit"),
    goal: series.callSync.p50 + 5,
  });
  add("host function", "hostSync", onExit);
  add("asynchronous host function", "hostAsync", floor("hop"));
  add("1 MiB in", "take", { ...floor("memcpy"), goal: MIB_GOAL });
  add("1 MiB out", "give", { ...floor("memcpy"), goal: MIB_GOAL });
  await sandbox.close();
  await waiting.close();
}

/** The time of one host call inside a call: what many more of them add, divided. */
function between(samples, call) {
  const one = sample(samples, () => call(1));
  const many = sample(samples, () => call(MANY + 1));
  return many.map((time, index) => (time - one[index]) / MANY);
}

async function betweenAsync(samples, call) {
  const one = await sampleAsync(samples, () => call(1));
  const many = await sampleAsync(samples, () => call(MANY + 1));
  return many.map((time, index) => (time - one[index]) / MANY);
}
