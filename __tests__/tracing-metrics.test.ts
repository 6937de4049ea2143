/** Metrics of calls and restores through the OpenTelemetry metrics API. */
import { expect, test } from "@jest/globals";
import { metrics } from "@opentelemetry/api";
import {
  type DataPoint,
  type Histogram,
  MeterProvider,
  MetricReader,
} from "@opentelemetry/sdk-metrics";
import { type CreateOptions, Pool, run } from "../ts/index.js";
import {
  async,
  BUSYBOX,
  failureOf,
  HOST_FUNCTIONS,
  ownExits,
  rustGuest,
  sync,
  testing,
} from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { collectSpans, trees } from "./support/telemetry.js";

/** Collects when it is asked. */
class Reader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}

type Attributes = Readonly<Record<string, unknown>>;

function measure(): (name: string) => Promise<readonly DataPoint<unknown>[]> {
  const reader = new Reader();
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
  return async (name) => {
    const { resourceMetrics } = await reader.collect();
    const all = resourceMetrics.scopeMetrics.flatMap((scope) => scope.metrics);
    return all.find(({ descriptor }) => descriptor.name === name)?.dataPoints ?? [];
  };
}

/** What a counter stands at, by the value of one attribute. */
function by(key: string, points: readonly DataPoint<unknown>[]): Attributes {
  return Object.fromEntries(points.map(({ attributes, value }) => [attributes[key], value]));
}

const BOTH = [
  ["callSync", sync],
  ["call", async],
] as const;

describeWithKvm("metrics", () => {
  test.each(BOTH)(
    "are of every call, with its function, sandbox and error: %s",
    async (_, call) => {
      const sandbox = await testing({ name: "measured" });
      const collect = measure();
      const before = sandbox.statistics;
      await call(sandbox, "add")(1, 2);
      await call(sandbox, "add")(1, 2);
      const between = sandbox.statistics;
      await call(sandbox, "sum_via_host")(3);
      const after = sandbox.statistics;
      await failureOf(() => call(sandbox, "allocate")(2n ** 60n));
      const points = (await collect("ampoule.call.duration")) as readonly DataPoint<Histogram>[];
      expect(points.map(({ attributes, value }) => [attributes, value.count])).toEqual([
        [{ "code.function.name": "add", "ampoule.sandbox.name": "measured" }, 2],
        [{ "code.function.name": "sum_via_host", "ampoule.sandbox.name": "measured" }, 1],
        [
          {
            "code.function.name": "allocate",
            "ampoule.sandbox.name": "measured",
            "error.type": "ERR_AMPOULE_GUEST_ERROR",
          },
          1,
        ],
      ]);
      const { boundaries } = points[0]?.value.buckets ?? { boundaries: [] };
      expect(boundaries[0]).toBe(1e-6);
      expect(boundaries.at(-1)).toBeGreaterThan(30);
      expect(boundaries).toEqual([...boundaries].sort((one, other) => one - other));
      const exits = by("code.function.name", await collect("ampoule.exits"));
      expect(exits["add"]).toBe(between.exits - before.exits);
      expect(exits["sum_via_host"]).toBe(after.exits - between.exits);
      expect(ownExits(between) - ownExits(before)).toBe(2);
      expect(ownExits(after) - ownExits(between)).toBe(4);
    },
  );

  test("have the CPU time of the guest", async () => {
    const sandbox = await testing();
    const collect = measure();
    sync(sandbox, "spin")(20);
    const [point] = (await collect("ampoule.guest.cpu.time")) as readonly DataPoint<Histogram>[];
    expect(point?.value).toMatchObject({ count: 1 });
    expect(point?.value.sum).toBeGreaterThan(0);
    expect(sandbox.statistics.cpuTimeMs / 1000).toBeCloseTo(point?.value.sum ?? 0, 9);
  });

  test.each(BOTH)("are of every host function, with its error: %s", async (_, call) => {
    const refuse = (id: number): number => {
      if (id < 0) throw new RangeError("negative");
      return id;
    };
    const sandbox = await testing({ name: "hosted", hostFunctions: { fetch_number: refuse } });
    const collect = measure();
    await call(sandbox, "sum_via_host")(3);
    await failureOf(() => call(sandbox, "host_in_span")(-1));
    const points = (await collect("ampoule.host.duration")) as readonly DataPoint<Histogram>[];
    const names = { "code.function.name": "fetch_number", "ampoule.sandbox.name": "hosted" };
    expect(points.map(({ attributes, value }) => [attributes, value.count])).toEqual([
      [names, 3],
      [{ ...names, "error.type": "RangeError" }, 1],
    ]);
    expect(points[0]?.value.sum).toBeGreaterThan(0);
  });

  test("are of a host function that never answers, when its call has ended", async () => {
    const sandbox = await testing({ hostFunctions: { fetch_number: () => new Promise(() => {}) } });
    const collect = measure();
    await failureOf(() => async(sandbox, "host_in_span")(1, { timeoutMs: 50 }));
    const [point] = await collect("ampoule.host.duration");
    expect(point?.attributes).toMatchObject({ "error.type": "ERR_AMPOULE_TIMEOUT" });
  });

  test("are of runs of programs", async () => {
    const collect = measure();
    await run(BUSYBOX, { args: ["true"], name: "true" });
    await failureOf(() => run("/dev/null", { name: "nothing" }));
    const points = (await collect("ampoule.run.duration")) as readonly DataPoint<Histogram>[];
    expect(points.map(({ attributes, value }) => [attributes, value.count])).toEqual([
      [{ "ampoule.sandbox.name": "true" }, 1],
      [{ "ampoule.sandbox.name": "nothing", "error.type": "ERR_AMPOULE_INVALID_GUEST" }, 1],
    ]);
  });

  test("say what there is in pools, and who waits", async () => {
    const collect = measure();
    let answer = (): void => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    let asked = (): void => {};
    const asks = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const fetch_number = async (id: number): Promise<number> => {
      asked();
      await answered;
      return id;
    };
    const pool = await Pool.create({
      guest: rustGuest("testing"),
      hostFunctions: { ...HOST_FUNCTIONS, fetch_number },
      name: "watched",
      size: { min: 2, max: 2 },
    } as unknown as CreateOptions & { readonly restore?: never });
    const states = async (): Promise<Attributes> =>
      by("ampoule.pool.state", await collect("ampoule.pool.sandboxes"));
    const waiting = async (): Promise<unknown> => {
      const [point] = await collect("ampoule.pool.waiting");
      expect(point?.attributes).toEqual({ "ampoule.sandbox.name": "watched" });
      return point?.value;
    };
    expect(await states()).toEqual({ idle: 2, busy: 0, restoring: 0, creating: 0 });
    expect(await waiting()).toBe(0);
    const call = pool.call["host_in_span"] as never as (...args: unknown[]) => Promise<unknown>;
    const calls = [1, 2, 3].map((id) => call(id));
    await asks;
    expect(await states()).toEqual({ idle: 0, busy: 2, restoring: 0, creating: 0 });
    expect(await waiting()).toBe(1);
    answer();
    await Promise.all(calls);
    await pool.close();
    expect(await waiting()).toBe(0);
    expect(await states()).toEqual({ idle: 0, busy: 0, restoring: 0, creating: 0 });
  });

  test("count restores and the pages that they copy, wherever they come from", async () => {
    const sandbox = await testing();
    const again = await testing({ name: "again", restore: "after-call" });
    const collect = measure();
    sync(sandbox, "add")(1, 1);
    await sandbox.restore();
    sandbox.restoreSync();
    await async(again, "add")(1, 1);
    sync(again, "add")(1, 1);
    expect(by("ampoule.sandbox.name", await collect("ampoule.restores"))).toEqual({
      testing: 2,
      again: 2,
    });
    const pages = by("ampoule.sandbox.name", await collect("ampoule.dirty_pages"));
    expect(pages["testing"]).toBe(sandbox.statistics.restoredPages);
    expect(pages["again"]).toBe(again.statistics.restoredPages);
  });

  test("count the restores of a pool", async () => {
    const collect = measure();
    const pool = await Pool.create({
      guest: rustGuest("testing"),
      hostFunctions: HOST_FUNCTIONS,
      name: "pooled",
    } as unknown as CreateOptions & { readonly restore?: never });
    const call = pool.call["add"] as never as (...args: unknown[]) => Promise<unknown>;
    for (let count = 0; count < 5; count++) await call(count, 1);
    await pool.drain();
    await pool.close();
    expect(by("ampoule.sandbox.name", await collect("ampoule.restores"))).toEqual({ pooled: 5 });
    expect(pool.statistics.restores).toBe(5);
  });

  test("are the same whether or not calls are traced", async () => {
    const sandbox = await testing();
    const collect = measure();
    const spans = collectSpans();
    sync(sandbox, "nested")(2);
    sync(sandbox, "nested")(2, { trace: false });
    expect(by("code.function.name", await collect("ampoule.exits"))).toEqual({ nested: 2 });
    expect(trees(spans)).toHaveLength(1);
  });

  test("go to whoever is registered", async () => {
    const sandbox = await testing();
    const first = measure();
    sync(sandbox, "add")(1, 1);
    metrics.disable();
    sync(sandbox, "add")(1, 1);
    const second = measure();
    sync(sandbox, "add")(1, 1);
    for (const collect of [first, second]) {
      expect(by("code.function.name", await collect("ampoule.exits"))).toEqual({ add: 1 });
    }
  });
});
