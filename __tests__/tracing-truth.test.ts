/**
 * The times of spans against this process's own clock, also in a pool and after restores. How far they
 * are from the guest's own readings is tested in Rust.
 */
import { expect, test } from "@jest/globals";
import { Pool } from "../ts/index.js";
import { HOST_FUNCTIONS, rustGuest, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import {
  collectSpans,
  endOf,
  expectNested,
  type Node,
  startOf,
  trees,
} from "./support/telemetry.js";

const MICROSECONDS = [5, 50, 500, 5000];
const CALLS = 200;
/** Nanoseconds by which 99 of 100 may be beyond the host's own readings. */
const TOLERANCE = 1000n;

type Moments = readonly [start: bigint, enter: bigint, leave: bigint, end: bigint];
type Busy = (microseconds: readonly number[], host: boolean) => Promise<unknown>;

/** Calls `busy`, whose host function is `fetch_number` of the result, one after the other. */
async function measure(prepare: (fetch_number: () => number) => Promise<[Busy, () => unknown]>) {
  let inside: readonly [bigint, bigint] = [0n, 0n];
  const [busy, end] = await prepare(() => {
    const enter = process.hrtime.bigint();
    inside = [enter, process.hrtime.bigint()];
    return 0;
  });
  const spans = collectSpans();
  const moments: Moments[] = [];
  for (let round = 0; round < CALLS; round++) {
    const start = process.hrtime.bigint();
    await busy(MICROSECONDS, true);
    moments.push([start, ...inside, process.hrtime.bigint()]);
  }
  await end();
  expectNested(spans);
  check(
    trees(spans).filter(({ name }) => name === "ampoule.call busy"),
    moments,
  );
}

function check(calls: readonly Node[], moments: readonly Moments[]): void {
  expect(calls).toHaveLength(CALLS);
  // The clocks differ by a number that is the same for all calls: each call bounds it from both sides.
  const lowest: bigint[] = [];
  const highest: bigint[] = [];
  calls.forEach(({ span, children }, index) => {
    const [start, enter, leave, end] = moments[index] as Moments;
    let nodes = children;
    let inner: bigint = 0n;
    for (const [depth, microseconds] of MICROSECONDS.entries()) {
      const [busy, ...others] = nodes.filter(({ name }) => name === "busy");
      expect(others).toEqual([]);
      expect(busy?.attributes).toMatchObject({ number: depth, microseconds });
      nodes = busy?.children ?? [];
      // Nested, so that each takes its own time and that of what is in it.
      const left = MICROSECONDS.slice(depth).reduce((sum, each) => sum + each, 0);
      const took = busy === undefined ? 0n : endOf(busy.span) - startOf(busy.span);
      expect(took).toBeGreaterThanOrEqual(BigInt(left) * 1000n - 100n);
      inner = busy === undefined ? 0n : endOf(busy.span);
    }
    const [host] = nodes;
    expect(host?.name).toBe("ampoule.host fetch_number");
    if (host === undefined) return;
    expect(endOf(host.span)).toBeLessThanOrEqual(inner);
    lowest.push(endOf(span) - end, startOf(host.span) - enter);
    highest.push(startOf(span) - start, endOf(host.span) - leave);
  });
  const byValue = (one: bigint, other: bigint) => (one < other ? -1 : one > other ? 1 : 0);
  lowest.sort(byValue);
  highest.sort(byValue);
  // Of the bounds, one in a hundred does not count.
  const some = Math.floor(lowest.length / 100);
  const from = lowest[lowest.length - 1 - some] as bigint;
  const to = highest[some] as bigint;
  expect(from - to).toBeLessThanOrEqual(TOLERANCE);
}

describeWithKvm("times are true", () => {
  test("in a sandbox", async () => {
    await measure(async (fetch_number) => {
      const sandbox = await testing({ hostFunctions: { ...HOST_FUNCTIONS, fetch_number } });
      return [sandbox.call["busy"] as Busy, () => sandbox.close()];
    });
  });

  test("with a restore after every call", async () => {
    await measure(async (fetch_number) => {
      const hostFunctions = { ...HOST_FUNCTIONS, fetch_number };
      const sandbox = await testing({ hostFunctions, restore: "after-call" });
      return [sandbox.call["busy"] as Busy, () => sandbox.close()];
    });
  });

  test("in a pool", async () => {
    await measure(async (fetch_number) => {
      const hostFunctions = { ...HOST_FUNCTIONS, fetch_number };
      const pool = await Pool.create({ guest: rustGuest("testing"), hostFunctions, size: 4 });
      return [pool.call["busy"] as Busy, () => pool.close()];
    });
  });
});
