/** Restoring, forking and taking snapshots from JavaScript. */
import { Sandbox } from "ampoule";
import { samplesAt } from "./effort.js";
import { floors } from "./floors.js";
import { OPTIONS, snapshotHolding } from "./guest.js";
import { inTurns, sample, sampleAsync } from "./measure.js";

/** Pages, side by side, that the guest writes of its own before each restore; a call adds some. */
const PAGES = 64;

export async function restore(effort, report) {
  const { rounds, samples } = effort;
  const snapshot = await snapshotHolding(16);
  const make = (restore = "never") =>
    Sandbox.create({ snapshot, hostFunctions: OPTIONS.hostFunctions, restore });
  const [sandbox, plain, after, forked] = await Promise.all([
    make(),
    make(),
    make("after-call"),
    make(),
  ]);
  const dirty = () => sandbox.callSync.dirty(PAGES, 1);
  for (let index = 0; index < 4; index++) {
    dirty();
    sandbox.restoreSync();
  }
  const before = sandbox.statistics.restoredPages;
  dirty();
  sandbox.restoreSync();
  const pages = sandbox.statistics.restoredPages - before;
  const few = samplesAt(effort, 10);
  const series = await inTurns(rounds, {
    copy: () => floors.copyTurn(pages, samples),
    create: () => floors.createTurn(few).filter((_, index) => index % 2 === 0),
    sync: () => timed(samples, dirty, () => sandbox.restoreSync()),
    async: () => sampleAsync(samples, () => sandbox.restore(), { before: dirty }),
    plainSync: () => sample(samples, () => plain.callSync.add(20, 22)),
    afterSync: () => sample(samples, () => after.callSync.add(20, 22)),
    plain: () => sampleAsync(samples, () => plain.call.add(20, 22)),
    after: () => sampleAsync(samples, () => after.call.add(20, 22)),
    snapshot: () => sampleAsync(few, () => forked.snapshot(), { after: (taken) => taken.close() }),
    fork: () => sampleAsync(few, () => forked.fork(), { after: (fork) => fork.close() }),
  });
  const parameters = { pages };
  const floor = (name) => ({ floor: { name, series: series[name] } });
  const add = (name, key, more) => report.add("js restore", name, series[key], more);
  add("copy", "copy", { parameters });
  const goal = 3 + 1.5 * series.copy.p50;
  add("restoreSync", "sync", { parameters, ...floor("copy"), goal });
  add("restore", "async", { parameters, ...floor("copy") });
  add("callSync of add", "plainSync");
  const withRestore = (key, name) => ({ floor: { name, series: series[key] } });
  add("callSync of add, restore after-call", "afterSync", withRestore("plainSync", "callSync"));
  add("await call of add", "plain");
  add("await call of add, restore after-call", "after", withRestore("plain", "await call"));
  add("snapshot", "snapshot");
  add("create", "create");
  add("fork", "fork", floor("create"));
  await Promise.all([sandbox, plain, after, forked].map((each) => each.close()));
  snapshot.close();
}

/** Times `operation` alone, each after `before`. */
function timed(samples, before, operation) {
  const times = [];
  for (let index = 0; index <= samples; index++) {
    before();
    const start = performance.now();
    operation();
    const time = performance.now() - start;
    if (index > 0) times.push(time * 1000);
  }
  return times;
}
