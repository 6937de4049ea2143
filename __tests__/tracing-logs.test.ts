/** Where events and log records of guests go. */

import { AsyncLocalStorage } from "node:async_hooks";
import { expect, jest, test } from "@jest/globals";
import { trace } from "@opentelemetry/api";
import { logs } from "@opentelemetry/api-logs";
import {
  InMemoryLogRecordExporter,
  LoggerProvider,
  SimpleLogRecordProcessor,
} from "@opentelemetry/sdk-logs";
import type { GuestLog } from "../ts/index.js";
import { async, failureOf, sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { collectSpans, endOf, inSpan, nanoseconds, only, startOf } from "./support/telemetry.js";

function collectLogs(): InMemoryLogRecordExporter {
  const exporter = new InMemoryLogRecordExporter();
  const processors = [new SimpleLogRecordProcessor({ exporter })];
  logs.setGlobalLoggerProvider(new LoggerProvider({ processors }));
  return exporter;
}

const BOTH = [
  ["callSync", sync],
  ["call", async],
] as const;

describeWithKvm("onLog", () => {
  test.each(BOTH)("gets events and log records without any SDK: %s", async (_, call) => {
    const records: GuestLog[] = [];
    const sandbox = await testing({
      name: "talker",
      trace: "debug",
      onLog: (record) => records.push(record),
    });
    await call(sandbox, "levels")();
    expect(records.map(({ level, message }) => [level, message]).slice(0, 4)).toEqual([
      ["error", "error"],
      ["warn", "warn"],
      ["info", "info"],
      ["debug", "debug"],
    ]);
    expect(records).toHaveLength(8);
    expect(records[4]).toEqual({
      timeNs: expect.any(BigInt),
      level: "error",
      target: "other::target",
      message: "other error",
      fields: {},
      name: expect.stringContaining("traced.rs"),
      file: expect.stringMatching(/src\/traced\.rs$/),
      line: expect.any(Number),
      function: "levels",
      sandbox: "talker",
      span: null,
    });
    records.length = 0;
    await call(sandbox, "logs")();
    const last = records.at(-1);
    expect(last).toMatchObject({
      level: "info",
      message: "with values",
      fields: { number: -1, text: "t", yes: true, half: 0.5 },
    });
  });

  test("is told of the guest's span, which is active then, and of the time", async () => {
    const records: [GuestLog, string | undefined][] = [];
    const sandbox = await testing({
      onLog: (record) => records.push([record, trace.getActiveSpan()?.spanContext().spanId]),
    });
    const spans = collectSpans();
    await async(sandbox, "nested")(1);
    const { span } = only(spans, "level");
    const { traceId, spanId } = span.spanContext();
    expect(records).toHaveLength(1);
    const [[record, active] = []] = records;
    expect(record).toMatchObject({ message: "inside", span: { traceId, spanId } });
    expect(active).toBe(spanId);
    expect(record?.timeNs).toBeGreaterThanOrEqual(startOf(span));
    expect(record?.timeNs).toBeLessThanOrEqual(endOf(span));
  });

  test("runs in the async context of the caller", async () => {
    const store = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    const sandbox = await testing({ onLog: () => seen.push(store.getStore()) });
    await Promise.all(
      ["one", "two"].map((name) => store.run(name, () => async(sandbox, "nested")(1))),
    );
    expect(seen).toEqual(["one", "two"]);
  });

  test("hears of what came before a host function before that is called", async () => {
    const order: string[] = [];
    for (const [, call] of BOTH) {
      const sandbox = await testing({
        onLog: ({ message }) => order.push(message),
        hostFunctions: {
          fetch_number: (id: number) => {
            order.push("host function");
            return id;
          },
        },
      });
      await call(sandbox, "host_in_span")(1);
      expect(order.splice(0)).toEqual(["deep inside", "before", "host function", "behind"]);
    }
  });

  test("is told nothing with trace: false, and is checked", async () => {
    const onLog = (): void => {
      throw new Error("not expected");
    };
    const sandbox = await testing({ trace: false, onLog });
    sync(sandbox, "levels")();
    expect(sandbox.statistics.traceBytes).toBe(0);
    const failure = await failureOf(() => testing({ onLog: "console" as never }));
    expect(failure).toMatchObject({
      code: "ERR_AMPOULE_INVALID_ARGUMENT",
      details: { option: "onLog" },
    });
  });

  test("that throws, rejects, kills or closes does not change the answer", async () => {
    const warn = jest.spyOn(process, "emitWarning").mockImplementation(() => {});
    try {
      for (const [, call] of BOTH) {
        const thrower = await testing({
          onLog: () => {
            throw new Error("the disk is full");
          },
        });
        const rejecter = await testing({
          onLog: (async () => {
            throw new Error("the disk is full");
          }) as () => void,
        });
        for (const sandbox of [thrower, rejecter]) {
          expect(await call(sandbox, "host_in_span")(1)).toBe(2);
          expect(sandbox.state).toBe("ready");
        }
        const killer = await testing({
          onLog: ({ message }) => message === "behind" && killer.kill(),
        });
        expect(await call(killer, "host_in_span")(1)).toBe(2);
        expect(killer.state).toBe("poisoned");
        const closer = await testing({
          onLog: ({ message }) => void (message === "behind" && closer.close()),
        });
        expect(await call(closer, "host_in_span")(1)).toBe(2);
        expect(closer.state).toBe("closed");
      }
      await new Promise((resolve) => setImmediate(resolve));
      expect(warn.mock.calls).toEqual([
        [
          "the function onLog of a sandbox failed: the disk is full",
          { type: "AmpouleWarning", code: "AMPOULE_ON_LOG" },
        ],
      ]);
    } finally {
      warn.mockRestore();
    }
  });
});

/** What the guest's function `logs` writes at the default level. */
const LOG_BODIES = [
  "a record at ERROR",
  "another at ERROR",
  "a record at WARN",
  "another at WARN",
  "a record at INFO",
  "another at INFO",
  "with values",
];

describeWithKvm("the OpenTelemetry logs API", () => {
  test("gets log records, in the context of the guest's span", async () => {
    const sandbox = await testing({ name: "logger" });
    const spans = collectSpans();
    const records = collectLogs();
    await inSpan("user's", () => async(sandbox, "logs")());
    const { span } = only(spans, "logging");
    expect(span.events).toEqual([]);
    const found = records.getFinishedLogRecords();
    expect(found.map(({ body }) => body)).toEqual(LOG_BODIES);
    for (const { spanContext, hrTime, instrumentationScope } of found) {
      expect(spanContext).toMatchObject(span.spanContext());
      expect(nanoseconds(hrTime)).toBeGreaterThanOrEqual(startOf(span));
      expect(nanoseconds(hrTime)).toBeLessThanOrEqual(endOf(span));
      expect(instrumentationScope.name).toBe("ampoule");
    }
    expect(found[1]).toMatchObject({ severityNumber: 17, severityText: "ERROR" });
    expect(found[6]?.attributes).toMatchObject({
      number: -1,
      text: "t",
      "ampoule.sandbox.name": "logger",
      "ampoule.level": "info",
    });
  });

  test("leaves events to the spans", async () => {
    const sandbox = await testing();
    const spans = collectSpans();
    const records = collectLogs();
    sync(sandbox, "nested")(1);
    expect(only(spans, "level").span.events.map(({ name }) => name)).toEqual(["inside"]);
    expect(records.getFinishedLogRecords()).toEqual([]);
  });

  test("gets everything where there is no SDK for spans", async () => {
    const sandbox = await testing();
    const records = collectLogs();
    sync(sandbox, "nested")(1);
    sync(sandbox, "logs")();
    expect(records.getFinishedLogRecords()).toHaveLength(8);
  });

  test("gets the records of calls that are not sampled, in their place in the trace", async () => {
    const sandbox = await testing();
    const { AlwaysOffSampler } = await import("@opentelemetry/sdk-trace-node");
    const spans = collectSpans({ sampler: new AlwaysOffSampler() });
    const records = collectLogs();
    for (const call of [sync, async]) {
      records.reset();
      const { spanId, traceId } = await inSpan("user's", () => call(sandbox, "logs")());
      const found = records.getFinishedLogRecords();
      expect(found.map(({ body }) => body)).toEqual(LOG_BODIES);
      for (const { spanContext } of found) {
        expect(spanContext).toMatchObject({ traceId, traceFlags: 0 });
        expect(spanContext?.spanId).not.toBe(spanId);
      }
    }
    expect(spans.getFinishedSpans()).toEqual([]);
    // Events of `tracing` are parts of spans, which are not there.
    records.reset();
    sync(sandbox, "nested")(3);
    expect(records.getFinishedLogRecords()).toEqual([]);
    sync(sandbox, "logs")({ trace: "off" });
    expect(records.getFinishedLogRecords()).toEqual([]);
  });

  test("is replaced by events of spans where it is not there", async () => {
    const sandbox = await testing();
    const spans = collectSpans();
    sync(sandbox, "logs")();
    const events = only(spans, "logging").span.events;
    expect(events.map(({ name }) => name)).toContain("a record at WARN");
    expect(events.at(-1)?.attributes).toMatchObject({
      number: -1,
      text: "t",
      yes: true,
      half: 0.5,
    });
  });
});
