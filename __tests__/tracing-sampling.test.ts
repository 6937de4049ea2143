/** Calls that are not sampled: nothing of them becomes a trace of its own, and the guest knows its place. */
import { expect, test } from "@jest/globals";
import { context, propagation, trace } from "@opentelemetry/api";
import { suppressTracing } from "@opentelemetry/core";
import {
  AlwaysOffSampler,
  ParentBasedSampler,
  SamplingDecision,
  TraceIdRatioBasedSampler,
} from "@opentelemetry/sdk-trace-node";
import { async, sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { byTrace, collectSpans, inSpan, leaveSpan } from "./support/telemetry.js";

const BOTH = [
  ["callSync", sync],
  ["call", async],
] as const;

/** Host functions that make a span, and keep what they would send to another service. */
function leaving(carriers: Record<string, string>[] = []) {
  const fetch_number = (id: number): number => {
    leaveSpan("user's");
    const carrier = {};
    propagation.inject(context.active(), carrier);
    carriers.push(carrier);
    return id;
  };
  return { fetch_number };
}

describeWithKvm("a call that is not sampled", () => {
  test.each(BOTH)(
    "keeps what its host functions do out of traces of their own: %s",
    async (_, call) => {
      const root = new TraceIdRatioBasedSampler(0.5);
      const spans = collectSpans({ sampler: new ParentBasedSampler({ root }) });
      const sandbox = await testing({ hostFunctions: leaving() });
      spans.reset();
      for (let left = 64; left > 0; left--) await call(sandbox, "host_in_span")(1);
      const all = spans.getFinishedSpans();
      const traces = byTrace(all);
      // The call, three spans of the guest, the host function and what it did: whole, or not there.
      expect(new Set([...traces.values()].map((each) => each.length))).toEqual(new Set([6]));
      expect(traces.size).toBeLessThan(64);
      const roots = all.filter(({ parentSpanContext }) => parentSpanContext === undefined);
      expect(new Set(roots.map(({ name }) => name))).toEqual(
        new Set(["ampoule.call host_in_span"]),
      );
    },
  );

  test.each(BOTH)(
    "is known to the guest and to host functions, as not sampled: %s",
    async (_, call) => {
      const spans = collectSpans({ sampler: new AlwaysOffSampler() });
      const carriers: Record<string, string>[] = [];
      const sandbox = await testing({ hostFunctions: leaving(carriers) });
      let seen: unknown;
      const { traceId } = await inSpan("user's", async () => {
        seen = await call(sandbox, "current_context")();
        await call(sandbox, "host_in_span")(1);
      });
      expect(seen).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`));
      expect(carriers[0]?.["traceparent"]).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`));
      expect(spans.getFinishedSpans()).toEqual([]);
      expect(sandbox.statistics.traceBytes).toBe(0);
      // The next call may have no place in any trace.
      trace.disable();
      expect(await call(sandbox, "current_context")()).toBeNull();
    },
  );

  test.each(BOTH)("that is suppressed has no place in a trace: %s", async (_, call) => {
    collectSpans();
    const sandbox = await testing();
    const seen = await context.with(suppressTracing(context.active()), () =>
      call(sandbox, "current_context")(),
    );
    expect(seen).toBeNull();
  });

  test.each(BOTH)(
    "by a sampler that wants all but calls has its host functions below it: %s",
    async (_, call) => {
      const sampler = {
        shouldSample: (_context: unknown, _trace: unknown, name: string) => ({
          decision: name.startsWith("ampoule.call")
            ? SamplingDecision.NOT_RECORD
            : SamplingDecision.RECORD_AND_SAMPLED,
        }),
        toString: () => "all but calls",
      };
      const spans = collectSpans({ sampler });
      const sandbox = await testing({ hostFunctions: leaving() });
      spans.reset();
      const { traceId } = await inSpan("request", () => call(sandbox, "host_in_span")(1));
      const all = spans.getFinishedSpans();
      expect(all.map(({ name }) => name).sort()).toEqual(["request", "user's"]);
      expect(new Set(all.map((span) => span.spanContext().traceId))).toEqual(new Set([traceId]));
    },
  );
});
