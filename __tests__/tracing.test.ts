/** Spans of calls and of what guests do during them, in the user's own trace. */
import { expect, test } from "@jest/globals";
import { SpanStatusCode, trace } from "@opentelemetry/api";
import { async, failureOf, sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import {
  collectSpans,
  endOf,
  expectNested,
  flat,
  inSpan,
  leaveSpan,
  only,
  outline,
  startOf,
  trees,
} from "./support/telemetry.js";

const BOTH = [
  ["callSync", sync],
  ["call", async],
] as const;

describeWithKvm("spans of a guest", () => {
  test.each(BOTH)(
    "are below the span of their call, and that below the active one: %s",
    async (_, call) => {
      const sandbox = await testing();
      const spans = collectSpans();
      await inSpan("user's", () => call(sandbox, "nested")(3));
      expect(outline(trees(spans))).toBe("user's [ampoule.call nested [level [level [level]]]]");
      expectNested(spans);
      const [root] = trees(spans);
      const ids = new Set(flat(trees(spans)).map(({ span }) => span.spanContext().traceId));
      expect([...ids]).toEqual([root?.span.spanContext().traceId]);
    },
  );

  test("have the name, the place and the fields that the guest gave them", async () => {
    const sandbox = await testing({ name: "greeter" });
    const spans = collectSpans();
    sync(sandbox, "traced_add")(2, 3);
    expect(only(spans, "ampoule.call traced_add").attributes).toEqual({
      "code.function.name": "traced_add",
      "ampoule.sandbox.name": "greeter",
    });
    expect(only(spans, "add").attributes).toEqual({
      "code.file.path": expect.stringMatching(/src\/traced\.rs$/),
      "code.line.number": expect.any(Number),
      "ampoule.target": "testing::traced",
      "ampoule.level": "info",
      "ampoule.sandbox.name": "greeter",
      left: 2,
      right: 3,
    });
    const { instrumentationScope } = only(spans, "add").span;
    expect(instrumentationScope).toMatchObject({ name: "ampoule", version: expect.any(String) });
  });

  test("keep the types of their fields", async () => {
    const sandbox = await testing();
    const spans = collectSpans();
    sync(sandbox, "all_values")();
    expect(only(spans, "values").attributes).toMatchObject({
      yes: true,
      no: false,
      least: "-9223372036854775808",
      most: "18446744073709551615",
      small: 1,
      half: 0.5,
      nan: "NaN",
      text: "täxt \u{1f680}",
      empty: "",
    });
    expect(only(spans, "values").attributes).not.toHaveProperty("never");
  });

  test("get fields that become known later, but none that pretend to be Ampoule's", async () => {
    const sandbox = await testing();
    const spans = collectSpans();
    sync(sandbox, "record_later")();
    expect(only(spans, "late").attributes).toMatchObject({ early: 1, number: 2, text: "second" });
  });

  test("are children of whom the guest says", async () => {
    const sandbox = await testing();
    const spans = collectSpans();
    sync(sandbox, "parents")();
    const [call] = trees(spans);
    const names = call?.children.map((node) => outline([node])).sort();
    expect(names).toEqual(["outer [inner [named]]", "root"]);
  });

  test("of C code are like those of Rust", async () => {
    const sandbox = await testing();
    const spans = collectSpans();
    sync(sandbox, "c_spans")();
    expect(only(spans, "c outer").attributes).toMatchObject({
      boolean: true,
      signed: -1,
      float: 1.5,
    });
  });

  test("know the trace that they are part of", async () => {
    const sandbox = await testing();
    const spans = collectSpans();
    const traceparent = sync(sandbox, "current_context")();
    const { traceId, spanId } = only(spans, "ampoule.call current_context").span.spanContext();
    expect(traceparent).toBe(`00-${traceId}-${spanId}-01`);
  });

  test("cost no exit", async () => {
    const sandbox = await testing();
    collectSpans();
    sync(sandbox, "nested")(3);
    const before = sandbox.statistics;
    for (let count = 0; count < 20; count++) sync(sandbox, "nested")(3);
    const after = sandbox.statistics;
    expect(after.exits - before.exits).toBe(20);
    expect(after.traceBytes).toBeGreaterThan(before.traceBytes);
  });
});

describeWithKvm("around a host function", () => {
  test.each(BOTH)(
    "its span is below the guest's, and the user's below that: %s",
    async (_, call) => {
      const sandbox = await testing({
        hostFunctions: {
          fetch_number: (id: number) => {
            leaveSpan("query");
            return id;
          },
        },
      });
      const spans = collectSpans();
      await call(sandbox, "host_in_span")(4);
      expect(outline(trees(spans))).toBe(
        "ampoule.call host_in_span [first [second [third [ampoule.host fetch_number [query]]]]]",
      );
      expectNested(spans);
    },
  );

  test("its span is active until its promise is fulfilled", async () => {
    const sandbox = await testing({
      hostFunctions: {
        fetch_number: async (id: number) => {
          await new Promise((resolve) => setImmediate(resolve));
          trace.getActiveSpan()?.setAttribute("seen", id);
          return id;
        },
      },
    });
    const spans = collectSpans();
    await async(sandbox, "host_in_span")(7);
    expect(only(spans, "ampoule.host fetch_number").attributes).toMatchObject({ seen: 7 });
  });

  test("events before and behind it stand before and behind its span", async () => {
    const sandbox = await testing();
    const spans = collectSpans();
    sync(sandbox, "host_in_span")(1);
    const host = only(spans, "ampoule.host fetch_number").span;
    const times = new Map(
      only(spans, "third").span.events.map(({ name, time: [seconds, rest] }) => [
        name,
        BigInt(seconds) * 1_000_000_000n + BigInt(rest),
      ]),
    );
    expect(times.get("before")).toBeLessThanOrEqual(startOf(host));
    expect(times.get("behind")).toBeGreaterThanOrEqual(endOf(host));
  });

  test.each(BOTH)(
    "a failure is its span's, and that of a call it leads to: %s",
    async (_, call) => {
      const sandbox = await testing({
        hostFunctions: {
          fetch_number: () => {
            throw new RangeError("no such number");
          },
        },
      });
      const spans = collectSpans();
      await failureOf(() => call(sandbox, "host_in_span")(4));
      const host = only(spans, "ampoule.host fetch_number");
      expect(host.span.status).toEqual({ code: SpanStatusCode.ERROR, message: "no such number" });
      expect(host.attributes).toMatchObject({ "error.type": "RangeError" });
      const guest = only(spans, "ampoule.call host_in_span");
      expect(guest.span.status.code).toBe(SpanStatusCode.ERROR);
      expect(guest.attributes).toMatchObject({ "error.type": "ERR_AMPOULE_HOST_FUNCTION" });
      expect(only(spans, "third").span.status.code).toBe(SpanStatusCode.UNSET);
    },
  );

  test("a result that is not of the declared type is a failure, too", async () => {
    const sandbox = await testing({ hostFunctions: { fetch_number: () => "many" } });
    const spans = collectSpans();
    await failureOf(() => sync(sandbox, "host_in_span")(4));
    expect(only(spans, "ampoule.host fetch_number").span.status.code).toBe(SpanStatusCode.ERROR);
  });
});
