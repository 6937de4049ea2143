/** The pool: taking a clean sandbox, calling through it, and how much goes through. */
import * as ampoule from "ampoule";
import { samplesAt } from "./effort.js";
import { floors, hop } from "./floors.js";
import { create, OPTIONS } from "./guest.js";
import { inTurns, sampleAsync } from "./measure.js";

/** Goal for taking a clean sandbox, in microseconds. */
const ACQUIRE_GOAL = 20;
const SIZE = 4;
/** Requests in one sample of throughput. */
const REQUESTS = 100;

export async function pool(effort, report) {
  const { rounds, samples } = effort;
  const pool = await ampoule.Pool.create({ ...OPTIONS, size: SIZE });
  const sandbox = await create();
  let lease;
  const series = await inTurns(rounds, {
    hop: () => sampleAsync(samples, hop),
    acquire: () =>
      sampleAsync(
        samples,
        async () => {
          lease = await pool.acquire();
        },
        {
          after: async () => {
            lease.sandbox.callSync.add(1, 2);
            await lease.release();
            await pool.drain();
          },
        },
      ),
    call: () => sampleAsync(samples, () => sandbox.call.add(20, 22)),
    poolCall: () => sampleAsync(samples, () => pool.call.add(20, 22)),
    pausing: () => sampleAsync(samples, () => pool.call.add(20, 22), { after: () => pool.drain() }),
  });
  const floor = (name, key) => ({ floor: { name, series: series[key] } });
  const add = (name, key, more) => report.add("pool", name, series[key], more);
  add("acquire", "acquire", { goal: ACQUIRE_GOAL });
  add("await call of add", "call", floor("hop", "hop"));
  add("pool.call of add, one after the other", "poolCall", floor("await call", "call"));
  add("pool.call of add, pool at rest", "pausing", floor("await call", "call"));
  await pool.close();
  await sandbox.close();
}

/** Requests one after the other or together; what is timed is the whole, divided. */
export async function throughput(effort, report) {
  const { rounds } = effort;
  const few = samplesAt(effort, 40);
  const sandbox = await create();
  const pool = await ampoule.Pool?.create({ ...OPTIONS, size: SIZE, maxQueue: REQUESTS });
  const all = (request) => Promise.all(Array.from({ length: REQUESTS }, request));
  const each = async (samples, requests, run) => {
    const times = await sampleAsync(samples, run);
    return times.map((time) => time / requests);
  };
  const series = await inTurns(rounds, {
    exit: () => floors.exitTurn(effort.samples),
    reused: () => each(few, REQUESTS, () => all(() => sandbox.call.add(20, 22))),
    ...(pool && { restored: () => each(few, REQUESTS, () => all(() => pool.call.add(20, 22))) }),
    created: () => each(2, REQUESTS / 10, () => fresh(REQUESTS / 10)),
  });
  const names = {
    reused: "request, one sandbox for all",
    restored: "request, restored for each (pool)",
    created: "request, a new sandbox for each",
  };
  for (const [key, name] of Object.entries(names)) {
    if (series[key] === undefined) continue;
    const perSecond = Math.round(1e6 / series[key].p50);
    const floor = { name: "exit", series: series.exit };
    report.add("throughput", name, series[key], { floor, counts: { perSecond } });
  }
  await pool?.close();
  await sandbox.close();
}

/** Makes sandboxes, two at a time, calls and closes them. */
async function fresh(requests) {
  const one = async (count) => {
    for (let index = 0; index < count; index++) {
      const sandbox = await create();
      await sandbox.call.add(20, 22);
      await sandbox.close();
    }
  };
  await Promise.all([one(requests / 2), one(requests / 2)]);
}
