/** Whose trace a call belongs to, when nothing is recorded at all, and what spans link to. */
import { expect, test } from "@jest/globals";
import { context, createContextKey, ROOT_CONTEXT, SpanStatusCode, trace } from "@opentelemetry/api";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
} from "@opentelemetry/sdk-trace-node";
import { type CreateOptions, Pool, run, Sandbox } from "../ts/index.js";
import { async, BUSYBOX, HOST_FUNCTIONS, rustGuest, sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { collectSpans, flat, inSpan, only, outline, trees } from "./support/telemetry.js";

const BOTH = [
  ["callSync", sync],
  ["call", async],
] as const;

const OPTIONS = {
  guest: rustGuest("testing"),
  hostFunctions: HOST_FUNCTIONS,
  stdout: "ignore",
  stderr: "ignore",
} as unknown as CreateOptions & { readonly restore?: never };

/** Ids of the spans that the span `name` links to. */
function linksOf(exporter: ReturnType<typeof collectSpans>, name: string): readonly string[] {
  return only(exporter, name).span.links.map(({ context: { spanId } }) => spanId);
}

describeWithKvm("a guest writes no trace data", () => {
  async function expectNothing(around: (work: () => unknown) => unknown): Promise<void> {
    for (const [, call] of BOTH) {
      const sandbox = await testing();
      await around(() => call(sandbox, "nested")(3));
      await around(() => call(sandbox, "logs")());
      expect(sandbox.statistics).toMatchObject({ traceBytes: 0, traceEvents: 0, traceDropped: 0 });
    }
  }

  test("without an SDK", () => expectNothing((work) => work()));

  test("when no span is sampled", async () => {
    const spans = collectSpans({ sampler: new AlwaysOffSampler() });
    await expectNothing((work) => inSpan("user's", work));
    expect(spans.getFinishedSpans()).toEqual([]);
  });

  test("below a parent that is not sampled", async () => {
    collectSpans({ sampler: new ParentBasedSampler({ root: new AlwaysOnSampler() }) });
    const parent = {
      traceId: "1".repeat(32),
      spanId: "2".repeat(16),
      traceFlags: 0,
      isRemote: true,
    };
    const around = trace.setSpanContext(ROOT_CONTEXT, parent);
    await expectNothing((work) => context.with(around, work));
  });

  test("where tracing is suppressed", async () => {
    collectSpans();
    const key = createContextKey("OpenTelemetry SDK Context Key SUPPRESS_TRACING");
    await expectNothing((work) => context.with(ROOT_CONTEXT.setValue(key, true), work));
  });

  test("once the SDK is gone", async () => {
    const sandbox = await testing();
    const spans = collectSpans();
    sync(sandbox, "nested")(1);
    trace.disable();
    const { traceBytes } = sandbox.statistics;
    sync(sandbox, "nested")(1);
    expect(sandbox.statistics.traceBytes).toBe(traceBytes);
    expect(traceBytes).toBeGreaterThan(0);
    expect(only(spans, "ampoule.call nested").children).toHaveLength(1);
    const others = collectSpans();
    sync(sandbox, "nested")(1);
    expect(outline(trees(others))).toBe("ampoule.call nested [level]");
  });
});

describeWithKvm("the parent of a call", () => {
  test("is the span that was active when it was made, also for one that had to wait", async () => {
    const sandbox = await testing();
    const spans = collectSpans();
    const calls = ["one", "two", "three"].map((name) =>
      inSpan(name, () => async(sandbox, "traced_add")(1, 1)),
    );
    await Promise.all(calls);
    expect(outline(trees(spans))).toBe(
      ["one", "two", "three"].map((name) => `${name} [ampoule.call traced_add [add]]`).join(", "),
    );
  });

  test("is its own, however many run at once", async () => {
    await using pool = await Pool.create({
      ...OPTIONS,
      size: 8,
      hostFunctions: {
        ...HOST_FUNCTIONS,
        fetch_number: async (id: number) => {
          for (let turns = id % 5; turns > 0; turns--) await new Promise(setImmediate);
          trace.getActiveSpan()?.setAttribute("id", id);
          return id;
        },
      },
    } as never);
    const spans = collectSpans();
    const ids = Array.from({ length: 100 }, (_, id) => id);
    await Promise.all(
      ids.map((id) =>
        inSpan(`user ${id}`, () =>
          (pool.call["host_in_span"] as never as (id: number) => unknown)(id),
        ),
      ),
    );
    const roots = trees(spans);
    expect(roots).toHaveLength(ids.length);
    for (const root of roots) {
      expect(outline(root.children)).toBe(
        "ampoule.call host_in_span [first [second [third [ampoule.host fetch_number]]]]",
      );
      const host = flat([root]).at(-1);
      expect(root.name).toBe(`user ${host?.attributes["id"]}`);
      const traces = new Set(flat([root]).map(({ span }) => span.spanContext().traceId));
      expect(traces.size).toBe(1);
    }
  });

  test("of a lease's call is as of a sandbox's", async () => {
    await using pool = await Pool.create(OPTIONS);
    const spans = collectSpans();
    await inSpan("user's", async () => {
      using lease = await pool.acquire();
      sync(lease.sandbox as never, "traced_add")(1, 2);
      await async(lease.sandbox as never, "traced_add")(1, 2);
    });
    const call = "ampoule.call traced_add [add]";
    expect(outline(trees(spans))).toBe(`user's [${call}, ${call}]`);
  });
});

describeWithKvm("spans beside calls", () => {
  test("are of runs of programs, with their exit codes and errors", async () => {
    const spans = collectSpans();
    await inSpan("user's", () => run(BUSYBOX, { args: ["sh", "-c", "exit 3"] }));
    expect(outline(trees(spans))).toBe("user's [ampoule.run]");
    expect(only(spans, "ampoule.run").attributes).toEqual({
      "ampoule.sandbox.name": "busybox",
      "process.exit.code": 3,
    });
    spans.reset();
    await expect(run("/dev/null", { name: "none" })).rejects.toThrow();
    const failed = only(spans, "ampoule.run");
    expect(failed.attributes).toEqual({
      "ampoule.sandbox.name": "none",
      "error.type": "ERR_AMPOULE_INVALID_GUEST",
    });
    expect(failed.span.status.code).toBe(SpanStatusCode.ERROR);
  });

  test("are of what is done with sandboxes, with errors", async () => {
    const spans = collectSpans();
    const { spanId } = await inSpan("user's", async () => {
      // A name that no other test file has: their images are known in this process.
      const sandbox = await testing({ name: "beside calls" });
      using snapshot = await sandbox.snapshot();
      await sandbox.restore();
      sandbox.restoreSync(snapshot);
    });
    expect(outline(trees(spans))).toBe(
      "user's [ampoule.create [ampoule.start], ampoule.snapshot, ampoule.restore, ampoule.restore]",
    );
    for (const { span, attributes } of trees(spans)[0]?.children ?? []) {
      expect(span.parentSpanContext?.spanId).toBe(spanId);
      expect(attributes).toEqual({ "ampoule.sandbox.name": "beside calls" });
    }
    spans.reset();
    await expect(Sandbox.create({ guest: "/dev/null" })).rejects.toThrow();
    expect(only(spans, "ampoule.create").attributes).toEqual({
      "ampoule.sandbox.name": "null",
      "error.type": "ERR_AMPOULE_INVALID_GUEST",
    });
  });
});

describeWithKvm("the first call after a restore links to the span that made the snapshot", () => {
  test("to which a sandbox went back", async () => {
    const spans = collectSpans();
    const sandbox = await testing();
    const created = only(spans, "ampoule.create").span.spanContext().spanId;
    sync(sandbox, "traced_add")(1, 1);
    expect(linksOf(spans, "ampoule.call traced_add")).toEqual([]);
    using snapshot = await sandbox.snapshot();
    const taken = only(spans, "ampoule.snapshot").span.spanContext().spanId;
    for (const [restore, origin] of [
      [() => sandbox.restore(snapshot), taken],
      [() => sandbox.restoreSync(), created],
    ] as const) {
      await restore();
      for (const links of [[origin], []]) {
        spans.reset();
        await async(sandbox, "traced_add")(1, 1);
        expect(linksOf(spans, "ampoule.call traced_add")).toEqual(links);
      }
    }
  });

  test("that a sandbox was made from, or forked from", async () => {
    const spans = collectSpans();
    const sandbox = await testing();
    using snapshot = await sandbox.snapshot();
    const taken = only(spans, "ampoule.snapshot").span.spanContext().spanId;
    spans.reset();
    await using other = await Sandbox.create({
      snapshot,
      hostFunctions: HOST_FUNCTIONS,
    } as CreateOptions);
    sync(other, "traced_add")(1, 1);
    expect(linksOf(spans, "ampoule.create")).toEqual([taken]);
    expect(linksOf(spans, "ampoule.call traced_add")).toEqual([taken]);
    spans.reset();
    await using fork = await sandbox.fork();
    sync(fork, "traced_add")(1, 1);
    const forked = only(spans, "ampoule.snapshot").span.spanContext().spanId;
    expect(linksOf(spans, "ampoule.call traced_add")).toEqual([forked]);
  });

  test("after every call with restore: after-call", async () => {
    const spans = collectSpans();
    const sandbox = await testing({ restore: "after-call" });
    const created = only(spans, "ampoule.create").span.spanContext().spanId;
    for (const [, call] of BOTH) {
      await call(sandbox, "add")(1, 1);
      spans.reset();
      await call(sandbox, "traced_add")(1, 1);
      expect(linksOf(spans, "ampoule.call traced_add")).toEqual([created]);
    }
  });

  test("of a pool, for every call of the pool and the first of a lease", async () => {
    const spans = collectSpans();
    await using pool = await Pool.create(OPTIONS);
    const origin = only(spans, "ampoule.snapshot").span.spanContext().spanId;
    const call = pool.call["traced_add"] as never as (...args: unknown[]) => Promise<unknown>;
    for (let count = 0; count < 3; count++) {
      spans.reset();
      await call(1, 1);
      expect(linksOf(spans, "ampoule.call traced_add")).toEqual([origin]);
    }
    using lease = await pool.acquire();
    for (const links of [[origin], []]) {
      spans.reset();
      sync(lease.sandbox as never, "traced_add")(1, 1);
      expect(linksOf(spans, "ampoule.call traced_add")).toEqual(links);
    }
  });
});
