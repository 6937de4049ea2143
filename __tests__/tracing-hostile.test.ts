/** What a guest lies in its trace data is counted and warned of, and hurts neither call nor host. */
import { spawnSync } from "node:child_process";
import { afterAll, expect, jest, test } from "@jest/globals";
import { metrics, SpanStatusCode } from "@opentelemetry/api";
import { MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import { type GuestLog, Sandbox } from "../ts/index.js";
import { async, failureOf, rustGuest, sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { collectSpans, expectNested, only } from "./support/telemetry.js";

const GUEST = rustGuest("hostile");

/** Spans that a guest may have open at a time. */
const LIVE_SPANS_MAX = 4096;

const ARGUMENTS: Readonly<Record<string, readonly unknown[]>> = {
  trace_flood: [20_000],
  trace_raw: [Uint8Array.of(1, 2, 3), null, 1n << 40n, null, true],
};

/** Acts after which everything is there, if only with other times or names. */
const HARMLESS = new Set<string>(["trace_lying_fields", "trace_lying_times"]);

function acts(): readonly string[] {
  const { stdout } = spawnSync(GUEST, ["describe"], { encoding: "utf8" });
  const { exports } = JSON.parse(stdout) as {
    exports: { name: string; documentation: string }[];
  };
  return exports
    .filter(
      ({ name, documentation: text }) => name.startsWith("trace_") && text.startsWith("survives"),
    )
    .map(({ name }) => name);
}

class Reader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}

/** How much was lost, by reason. */
async function lost(reader: Reader): Promise<Readonly<Record<string, unknown>>> {
  const { resourceMetrics } = await reader.collect();
  const all = resourceMetrics.scopeMetrics.flatMap((scope) => scope.metrics);
  const found = all.find(({ descriptor }) => descriptor.name === "ampoule.trace.dropped_events");
  return Object.fromEntries(
    (found?.dataPoints ?? []).map(({ attributes, value }) => [
      String(attributes["ampoule.trace.reason"]),
      value,
    ]),
  );
}

async function hostile(onLog: (record: GuestLog) => void): Promise<Sandbox> {
  return Sandbox.create({
    guest: GUEST,
    memory: "32MiB",
    hostFunctions: { touch: () => {} },
    stdout: "ignore",
    stderr: "ignore",
    onLog,
  });
}

describeWithKvm("hostile trace data", () => {
  const warn = jest.spyOn(process, "emitWarning").mockImplementation(() => {});
  afterAll(() => warn.mockRestore());

  test.each(acts())("%s leaves the call and other sandboxes alone", async (name) => {
    const spans = collectSpans();
    const reader = new Reader();
    metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));
    const friend = await testing();
    for (const table of [sync, async]) {
      const records: GuestLog[] = [];
      const sandbox = await hostile((record) => records.push(record));
      try {
        spans.reset();
        const result = await table(sandbox, name)(...(ARGUMENTS[name] ?? []));
        const all = spans.getFinishedSpans();
        const call = all.find((span) => span.name === `ampoule.call ${name}`);
        expect(call?.status.code).toBe(SpanStatusCode.UNSET);
        expect(all.length).toBeLessThanOrEqual(LIVE_SPANS_MAX + 1000);
        expectNested(spans);
        const strays = all.filter(
          (span) =>
            span.attributes["ampoule.sandbox.name"] !== "hostile" ||
            span.spanContext().traceId !== call?.spanContext().traceId,
        );
        expect(strays).toEqual([]);
        expect(typeof result).toBe("string");
        expect(sandbox.state).toBe("ready");
        const plain = Object.getPrototypeOf({});
        expect(records.filter(({ fields }) => Object.getPrototypeOf(fields) !== plain)).toEqual([]);
        await failureOf(() => table(sandbox, "no_such_function")());
        expect(await table(friend, "traced_add")(1, 2)).toBe(3);
      } finally {
        await sandbox.close();
      }
    }
    const reasons = await lost(reader);
    expect(Object.keys(reasons).length > 0).toBe(!HARMLESS.has(name));
  });

  test("cannot pretend to be from elsewhere", async () => {
    const spans = collectSpans();
    const records: GuestLog[] = [];
    const sandbox = await hostile((record) => records.push(record));
    try {
      sync(sandbox, "trace_lying_fields")();
      const { events } = only(spans, "ampoule.call trace_lying_fields").span;
      expect(events.length).toBeGreaterThan(0);
      for (const { attributes } of events) {
        expect(attributes?.["code.file.path"]).not.toBe("owned");
        expect(Object.getPrototypeOf(attributes)).toBe(Object.getPrototypeOf({}));
      }
      expect(records.length).toBe(events.length);
    } finally {
      await sandbox.close();
    }
  });

  test("is warned of once", () => {
    const codes = warn.mock.calls.map(
      ([, options]) => (options as unknown as { code: string }).code,
    );
    expect(codes.filter((code) => code === "AMPOULE_TRACE_DATA")).toHaveLength(1);
  });

  test("does not hide what is wrong with another sandbox's", async () => {
    collectSpans();
    const names = ["the second", "the third", "the second"];
    warn.mockClear();
    for (const name of names) {
      await using sandbox = await Sandbox.create({
        guest: GUEST,
        name,
        hostFunctions: { touch: () => {} },
      });
      sync(sandbox, "trace_unknown_spans")();
    }
    const messages = warn.mock.calls.map(([message]) => String(message));
    expect(messages).toEqual([
      expect.stringContaining('trace data of sandbox "the second" is'),
      expect.stringContaining('trace data of sandbox "the third" is'),
    ]);
  });
});
