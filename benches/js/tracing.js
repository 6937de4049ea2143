/** What it costs to trace a call, beside the same spans without a guest. */
import { context, SpanKind, trace } from "@opentelemetry/api";
import {
  AlwaysOffSampler,
  NodeTracerProvider,
  NoopSpanProcessor,
} from "@opentelemetry/sdk-trace-node";
import { create } from "./guest.js";
import { inTurns, sample } from "./measure.js";

/** Goals of tracing: off it costs next to nothing, on it adds a tenth to what the SDK takes. */
const OFF_MAX = 1.01;
const TRACED_MAX = 1.1;

export async function tracing(effort, report) {
  const { rounds, samples } = effort;
  const sandbox = await create();
  const spanProcessors = [new NoopSpanProcessor()];
  const recording = new NodeTracerProvider({ spanProcessors });
  const sampler = new AlwaysOffSampler();
  const unsampling = new NodeTracerProvider({ sampler, spanProcessors });
  const traced = () => sandbox.callSync.traced(20, 22);
  const series = await inTurns(rounds, {
    sdk: registered(recording, () => sample(samples, spansAlone)),
    plain: () => sample(samples, () => sandbox.callSync.add(20, 22)),
    off: () => sample(samples, traced),
    unsampled: registered(unsampling, () => sample(samples, traced)),
    guestOff: registered(recording, () =>
      sample(samples, () => sandbox.callSync.traced(20, 22, { trace: "off" })),
    ),
    traced: registered(recording, () => sample(samples, traced)),
  });
  const plain = { floor: { name: "callSync of add", series: series.plain } };
  const add = (name, key, more) => report.add("js trace", name, series[key], more);
  add("two spans by the SDK", "sdk");
  add("callSync of add", "plain");
  const counts = { counts: count(sandbox, traced) };
  add("with a span, no SDK", "off", { ...plain, goal: OFF_MAX * series.plain.p50, ...counts });
  const unsampled = registered(unsampling, () => count(sandbox, traced));
  add("with a span, not sampled", "unsampled", { ...plain, counts: unsampled() });
  add("call traced, guest not", "guestOff", plain);
  const recorded = registered(recording, () => count(sandbox, traced));
  add("with a span, traced", "traced", {
    ...plain,
    goal: TRACED_MAX * series.plain.p50 + series.sdk.p50,
    counts: recorded(),
  });
  await sandbox.close();
}

/** `body`, done while `provider` is registered. */
function registered(provider, body) {
  return () => {
    provider.register({ propagator: null });
    try {
      return body();
    } finally {
      trace.disable();
      context.disable();
    }
  };
}

const EPOCH = [1_800_000_000, 0];

/** The spans of a call that is traced, with as many attributes, as whoever has no guest makes them. */
function spansAlone() {
  const tracer = trace.getTracer("alone");
  const outer = tracer.startSpan("ampoule.call traced", {
    startTime: EPOCH,
    attributes: { "code.function.name": "traced", "ampoule.sandbox.name": "bench" },
  });
  const inner = tracer.startSpan(
    "add",
    {
      kind: SpanKind.INTERNAL,
      startTime: EPOCH,
      attributes: {
        left: 20,
        right: 22,
        "code.function.name": "add",
        "code.file.path": "bench/src/main.rs",
        "code.line.number": 29,
        "ampoule.target": "bench",
        "ampoule.level": "info",
        "ampoule.sandbox.name": "bench",
      },
    },
    trace.setSpan(context.active(), outer),
  );
  inner.end(EPOCH);
  outer.end(EPOCH);
}

/** Exits of one call of many, and bytes that the guest wrote for the trace. */
function count(sandbox, call) {
  const before = sandbox.statistics;
  sample(10, call);
  const after = sandbox.statistics;
  const calls = after.calls - before.calls;
  return {
    exits: (after.exits - before.exits) / calls,
    traceBytes: (after.traceBytes - before.traceBytes) / calls,
  };
}
