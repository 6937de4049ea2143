/** How spans end when calls end otherwise than well, and what an SDK may do wrong. */
import { expect, test } from "@jest/globals";
import { SpanStatusCode } from "@opentelemetry/api";
import type { SpanProcessor } from "@opentelemetry/sdk-trace-node";
import { AmpouleError, Pool, type PoolOptions } from "../ts/index.js";
import { async, failureOf, HOST_FUNCTIONS, rustGuest, sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { Random, turns } from "./support/random.js";
import {
  collectSpans,
  endOf,
  expectNested,
  flat,
  only,
  outline,
  trees,
} from "./support/telemetry.js";

const BOTH = [
  ["callSync", sync],
  ["call", async],
] as const;

describeWithKvm("the end of a call", () => {
  test("closes what the guest left open, and says so", async () => {
    const sandbox = await testing();
    const spans = collectSpans();
    sync(sandbox, "leaves_open")();
    const open = only(spans, "left open");
    expect(open.attributes).toMatchObject({ "ampoule.unclosed": true });
    expect(open.span.status.code).toBe(SpanStatusCode.UNSET);
    sync(sandbox, "closes_later")();
    sync(sandbox, "closes_later")();
    expect(only(spans, "kept").attributes).toMatchObject({ "ampoule.unclosed": true });
    expectNested(spans);
  });

  const STOPS = [
    ["spin_in_spans", "ERR_AMPOULE_TIMEOUT", { timeoutMs: 1000 }],
    ["spin_in_spans", "ERR_AMPOULE_CPU_TIME", { cpuTimeMs: 200 }],
    ["fault_in_spans", "ERR_AMPOULE_GUEST_FAULT", {}],
  ] as const;
  test.each(BOTH.flatMap(([how, call]) => STOPS.map((stop) => [how, ...stop, call] as const)))(
    "%s %s by %s ends its spans with an error",
    async (_, name, code, options, call) => {
      const sandbox = await testing();
      const spans = collectSpans();
      await failureOf(() => call(sandbox, name)(options));
      expect(outline(trees(spans))).toBe(`ampoule.call ${name} [first [second [third]]]`);
      expectNested(spans);
      for (const { span, attributes } of flat(trees(spans))) {
        expect(span.status.code).toBe(SpanStatusCode.ERROR);
        expect(attributes).toMatchObject({ "error.type": code });
      }
      expect(only(spans, "third").span.events.map((event) => event.name)).toEqual(["deep inside"]);
      const [first, second, third] = ["first", "second", "third"].map((each) => only(spans, each));
      const ends = [first, second, third].map((node) => node && endOf(node.span));
      expect(new Set(ends).size).toBe(1);
    },
  );

  test.each(BOTH)("a kill in the middle of spans ends all of them: %s", async (_, call) => {
    const sandbox = await testing({
      hostFunctions: {
        fetch_number: () => {
          sandbox.kill();
          return 1;
        },
      },
    });
    const spans = collectSpans();
    await failureOf(() => call(sandbox, "host_in_span")(1));
    expect(outline(trees(spans))).toBe(
      "ampoule.call host_in_span [first [second [third [ampoule.host fetch_number]]]]",
    );
    expectNested(spans);
    for (const name of ["ampoule.call host_in_span", "first", "second", "third"]) {
      const { span, attributes } = only(spans, name);
      expect(span.status.code).toBe(SpanStatusCode.ERROR);
      expect(attributes).toMatchObject({ "error.type": "ERR_AMPOULE_KILLED" });
    }
  });

  test("at any moment of a host function leaves the function's name, and a failure", async () => {
    const pool = await Pool.create({
      guest: rustGuest("testing"),
      hostFunctions: { ...HOST_FUNCTIONS, fetch_number: (id: number) => turns(id).then(() => id) },
      name: "stopped",
      size: { min: 2, max: 2 },
    } as unknown as PoolOptions);
    const spans = collectSpans();
    const random = new Random(7);
    const call = pool.call["sum_via_host"] as never as (...args: unknown[]) => Promise<unknown>;
    const calls = Array.from({ length: 200 }, async () => {
      const stop = new AbortController();
      const called = call(3, { signal: stop.signal }).then(
        () => {},
        () => {},
      );
      await turns(random.below(40));
      stop.abort();
      await called;
    });
    await Promise.all(calls);
    await pool.close();
    const hosts = spans.getFinishedSpans().filter(({ name }) => name.startsWith("ampoule.host"));
    expect(new Set(hosts.map(({ name }) => name))).toEqual(new Set(["ampoule.host fetch_number"]));
    // The last of each call that was stopped ended with it.
    for (const { span, children } of trees(spans)) {
      const last = children.filter(({ name }) => name.startsWith("ampoule.host")).at(-1)?.span;
      if (last === undefined || last.status.code === SpanStatusCode.UNSET) continue;
      expect(last.status).toEqual({ code: SpanStatusCode.ERROR, message: "the call was stopped" });
      expect(last.attributes["error.type"]).toBe("ERR_AMPOULE_ABORTED");
      expect(span.status.code).toBe(SpanStatusCode.ERROR);
    }
    const failed = hosts.filter(({ status }) => status.code === SpanStatusCode.ERROR);
    expect(failed.length).toBeGreaterThan(0);
  });

  test("by a panic has the spans, and the panic as an event", async () => {
    const sandbox = await testing();
    const spans = collectSpans();
    const failure = await failureOf(() => sync(sandbox, "panics_in_spans")());
    const call = only(spans, "ampoule.call panics_in_spans");
    expect(call.span.status).toEqual({
      code: SpanStatusCode.ERROR,
      message: failure["message"],
    });
    const { events } = only(spans, "third").span;
    expect(events.map((event) => event.name)).toEqual(["deep inside", "exception"]);
    expect(events[1]?.attributes).toMatchObject({
      "exception.type": "panic",
      "exception.message": "in the third span",
      "exception.stacktrace": expect.stringMatching(/^ {4}at .*panics_in_spans.*\+\d+ \(0x/m),
      "ampoule.level": "error",
      "code.file.path": expect.stringMatching(/traced\.rs$/),
    });
    for (const name of ["first", "second", "third"]) {
      const { span, attributes } = only(spans, name);
      expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: "the guest panicked" });
      expect(attributes).toMatchObject({ "error.type": "panic" });
    }
  });

  test("by an error of the guest's is an error of the call alone", async () => {
    const sandbox = await testing();
    const spans = collectSpans();
    const failure = await failureOf(() => sync(sandbox, "allocate")(2n ** 60n));
    expect(failure["code"]).toBe("ERR_AMPOULE_GUEST_ERROR");
    expect(only(spans, "ampoule.call allocate").attributes).toMatchObject({
      "error.type": "ERR_AMPOULE_GUEST_ERROR",
    });
  });
});

describeWithKvm("an SDK that throws", () => {
  const fail = (): never => {
    throw new Error("out of order");
  };
  const none = async (): Promise<void> => {};
  const PROCESSORS: readonly (readonly [string, SpanProcessor])[] = [
    ["onStart", { onStart: fail, onEnd: () => {}, shutdown: none, forceFlush: none }],
    ["onEnd", { onStart: () => {}, onEnd: fail, shutdown: none, forceFlush: none }],
  ];
  test.each(PROCESSORS)("in %s breaks no call", async (_, processor) => {
    const sandbox = await testing();
    collectSpans({ processors: [processor] });
    for (const [, call] of BOTH) {
      expect(await call(sandbox, "traced_add")(1, 2)).toBe(3);
      expect(await call(sandbox, "host_in_span")(2)).toBe(4);
      const failure = await failureOf(() => call(sandbox, "host_in_span")("2"));
      expect(failure).toBeInstanceOf(AmpouleError);
      expect(sandbox.state).toBe("ready");
    }
  });

  test("using a sandbox from inside does not disturb the arguments of the call", async () => {
    const [sandbox, other] = [await testing(), await testing({ trace: false })];
    const onStart = (): void => {
      sync(other, "echo_bytes")(new Uint8Array(1000).fill(0xff));
    };
    collectSpans({ processors: [{ onStart, onEnd: () => {}, shutdown: none, forceFlush: none }] });
    for (const [, call] of BOTH) {
      expect(await call(sandbox, "traced_add")(1, 2)).toBe(3);
      const large = new Uint8Array(5000).fill(7);
      expect(await call(sandbox, "echo_bytes")(large)).toEqual(large);
      expect(await call(sandbox, "host_in_span")(2)).toBe(4);
    }
  });
});
