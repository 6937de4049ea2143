/** However much a call tells, the event loop turns: records are handed over in slices, all of them, in order. */
import { expect, test } from "@jest/globals";
import type { ReadableSpan, SpanProcessor } from "@opentelemetry/sdk-trace-node";
import type { GuestLog, Sandbox } from "../ts/index.js";
import { async, failureOf, sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { byTrace, collectSpans } from "./support/telemetry.js";

/** Records that are handed over in one turn of the event loop. */
const SLICE = 256;
/** Records that a call on this thread hands over. */
const SYNC_MAX = 8192;
const MANY = 5000;

/** Counts how much happens between two turns of the event loop. */
class Turns {
  #now = 0;
  #most = 0;
  #isOver = false;

  constructor() {
    const turn = (): void => {
      this.#most = Math.max(this.#most, this.#now);
      this.#now = 0;
      if (!this.#isOver) setImmediate(turn);
    };
    setImmediate(turn);
  }

  count(): void {
    this.#now++;
  }

  /** The most that there was in one turn. */
  end(): number {
    this.#isOver = true;
    return Math.max(this.#most, this.#now);
  }
}

const nothing = async (): Promise<void> => {};

function processor(
  onStart: () => void,
  onEnd: (span: ReadableSpan) => void = () => {},
): SpanProcessor {
  return { onStart, onEnd, shutdown: nothing, forceFlush: nothing };
}

const numbersOf = (spans: readonly ReadableSpan[]): unknown[] =>
  spans.filter(({ name }) => name === "one").map(({ attributes }) => attributes["number"]);

const ALL = Array.from({ length: MANY }, (_, number) => number);

describeWithKvm("a long trace", () => {
  test("is handed over in slices, whole and in order, before the call's promise settles", async () => {
    const sandbox = await testing();
    const turns = new Turns();
    const spans = collectSpans({ processors: [processor(() => turns.count())] });
    await async(sandbox, "many")(MANY);
    expect(turns.end()).toBeLessThanOrEqual(SLICE);
    expect(numbersOf(spans.getFinishedSpans())).toEqual(ALL);
    expect(spans.getFinishedSpans().at(-1)?.name).toBe("ampoule.call many");
    const one = spans.getFinishedSpans().find(({ name }) => name === "one");
    expect(one?.events.map(({ name }) => name)).toEqual(["in it"]);
  });

  test("goes to onLog in slices, too", async () => {
    const turns = new Turns();
    const records: GuestLog[] = [];
    const onLog = (record: GuestLog): void => {
      turns.count();
      records.push(record);
    };
    await async(await testing({ onLog }), "many")(MANY);
    expect(turns.end()).toBeLessThanOrEqual(SLICE);
    expect(records).toHaveLength(MANY);
  });

  test("comes before the host function that is called behind it", async () => {
    const spans = collectSpans();
    let before: readonly unknown[] = [];
    const fetch_number = (id: number): number => {
      before = numbersOf(spans.getFinishedSpans());
      return id;
    };
    const sandbox = await testing({ hostFunctions: { fetch_number } });
    expect(await async(sandbox, "many_and_fetch")(MANY)).toBe(1);
    expect(before).toEqual(ALL);
    const host = spans.getFinishedSpans().find(({ name }) => name === "ampoule.host fetch_number");
    const fetching = spans.getFinishedSpans().find(({ name }) => name === "fetching");
    expect(host?.parentSpanContext?.spanId).toBe(fetching?.spanContext().spanId);
  });

  test("lets other calls of the sandbox and of others wait their turn, and mixes nothing", async () => {
    const [sandbox, other] = [await testing({ name: "one" }), await testing({ name: "other" })];
    const spans = collectSpans();
    const calls = [sandbox, other, sandbox].map((each) => async(each, "many")(MANY));
    await Promise.all(calls);
    const traces = byTrace(spans.getFinishedSpans());
    expect(traces.size).toBe(3);
    for (const of of traces.values()) {
      expect(numbersOf(of)).toEqual(ALL);
      expect(new Set(of.map(({ attributes }) => attributes["ampoule.sandbox.name"])).size).toBe(1);
    }
  });

  test("holds up no failure, and is whole when the sandbox is closed", async () => {
    const sandbox = await testing();
    const spans = collectSpans();
    await failureOf(() => async(sandbox, "many_and_fail")(MANY));
    expect(numbersOf(spans.getFinishedSpans()).length).toBeLessThan(MANY);
    expect(sandbox.state).toBe("running");
    await sandbox.close();
    expect(numbersOf(spans.getFinishedSpans())).toEqual(ALL);
  });

  test("holds up no result behind the call's own deadline", async () => {
    const timeoutMs = 1000;
    const sandbox = await testing();
    let isSlow = true;
    const onEnd = (): void => {
      // An SDK that takes its time, once.
      const until = performance.now() + timeoutMs;
      while (isSlow && performance.now() < until);
      isSlow = false;
    };
    const spans = collectSpans({ processors: [processor(() => {}, onEnd)] });
    await async(sandbox, "many")(MANY, { timeoutMs });
    expect(numbersOf(spans.getFinishedSpans()).length).toBeLessThan(MANY);
    await async(sandbox, "nothing")();
    expect(numbersOf(spans.getFinishedSpans())).toEqual(ALL);
  });

  const ENDS: readonly (readonly [string, (sandbox: Sandbox) => unknown, string])[] = [
    ["killed", (sandbox) => sandbox.kill(), "poisoned"],
    ["closed", (sandbox) => void sandbox.close(), "closed"],
  ];
  test.each(ENDS)("is whole if the sandbox is %s meanwhile", async (_, act, state) => {
    const sandbox = await testing();
    let started = 0;
    const spans = collectSpans({
      processors: [processor(() => ++started === MANY / 2 && act(sandbox))],
    });
    await async(sandbox, "many")(MANY);
    expect(numbersOf(spans.getFinishedSpans())).toEqual(ALL);
    expect(sandbox.state).toBe(state);
  });

  test("of a call on this thread is cut and counted", async () => {
    const sandbox = await testing();
    const spans = collectSpans();
    sync(sandbox, "many")(MANY);
    const some = numbersOf(spans.getFinishedSpans());
    // Each has three records; the first call has told of the places, too.
    expect(some).toEqual(ALL.slice(0, some.length));
    expect(some.length * 3).toBeGreaterThan(SYNC_MAX - 3 * SLICE);
    expect(spans.getFinishedSpans().length * 3).toBeLessThan(SYNC_MAX + 2 * SLICE);
    spans.reset();
    sync(sandbox, "many")(10);
    expect(numbersOf(spans.getFinishedSpans())).toEqual(ALL.slice(0, 10));
    spans.reset();
    // What a host function is called in is there, whatever was cut.
    expect(sync(sandbox, "many_and_fetch")(MANY)).toBe(2);
    const names = new Set(spans.getFinishedSpans().map(({ name }) => name));
    expect(names).toEqual(new Set(["one", "ampoule.call many_and_fetch"]));
  });
});
