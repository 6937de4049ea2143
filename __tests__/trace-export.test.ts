/**
 * Guests' spans, from the guest through the stock OpenTelemetry SDK and its exporter for OTLP/HTTP to a
 * collector in another process, which decodes them with the definitions of the OpenTelemetry protocol.
 *
 * AMPOULE_EXPORT_CALLS is the number of calls. AMPOULE_EXPORT_THROUGH is the executable of Rotel, a
 * collector that then stands between the exporter and ours; see `support/otlp/rotel.ts`.
 */
import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import { context, ROOT_CONTEXT, type SpanContext, trace } from "@opentelemetry/api";
import { Sandbox } from "../ts/index.js";
import { HOST_FUNCTIONS, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { Collector } from "./support/otlp/collector.js";
import { Rotel } from "./support/otlp/rotel.js";
import { RESOURCE, Sdk } from "./support/otlp/sdk.js";
import { asCollected, tree } from "./support/otlp/spans.js";
import { turns } from "./support/random.js";

const CALLS = Number(process.env["AMPOULE_EXPORT_CALLS"] ?? 100_000);
const THROUGH = process.env["AMPOULE_EXPORT_THROUGH"];
const SANDBOXES = 16;
/** Calls before everything is sent that has not arrived: what bounds the SDK's queue. */
const CALLS_AT_ONCE = 4096;
const USERS_SCOPE = { name: "export-test", version: "7.8.9" };
const OUR_SCOPE = scopeOf("../package.json");

function scopeOf(path: string): { readonly name: string; readonly version: string } {
  const { name, version } = JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));
  return { name, version };
}

/** The spans of each call of `traced_fetch`, and what there is in them. */
const SPANS = [
  {
    name: "ampoule.call traced_fetch",
    parent: "",
    scope: OUR_SCOPE,
    attributes: { "code.function.name": "traced_fetch" },
  },
  {
    name: "fetch",
    parent: "ampoule.call traced_fetch",
    scope: OUR_SCOPE,
    attributes: { id: "number", origin: "guest", "ampoule.target": "testing::traced" },
  },
  {
    name: "ampoule.host fetch_number",
    parent: "fetch",
    scope: OUR_SCOPE,
    attributes: { "code.function.name": "fetch_number" },
  },
  {
    name: "query",
    parent: "ampoule.host fetch_number",
    scope: USERS_SCOPE,
    attributes: { "query.id": "number" },
    // The SDK's own times are those of `Date.now()`.
    isLoose: true,
  },
];

/** First half of the ids of the callers' traces. */
const PREFIX = "a3ce929d0e0e4736";

/** The caller's span, in another process, that call `number` belongs to. */
function caller(number: number): SpanContext {
  const half = number.toString(16).padStart(16, "0");
  return { traceId: PREFIX + half, spanId: half, traceFlags: 1, isRemote: true };
}

/** Calls `body` as a server does that was called by {@link caller}. */
function calledBy<T>(number: number, body: () => T): T {
  return context.with(trace.setSpanContext(ROOT_CONTEXT, caller(number)), body);
}

/** The host function, at once for even ids and later for odd ones, with a span of its own. */
function fetchNumber(id: number): number | Promise<number> {
  const { name, version } = USERS_SCOPE;
  const span = trace
    .getTracer(name, version)
    .startSpan("query", { attributes: { "query.id": id } });
  const finish = (): number => {
    span.end();
    return id * 2;
  };
  return id % 2 === 0 ? finish() : turns(1).then(finish);
}

const hostFunctions = { fetch_number: fetchNumber };

function fetchOrThrow(id: number): number | Promise<number> {
  if (id < 0) throw new RangeError("negative");
  return fetchNumber(id);
}

type Fetch = (id: number) => Promise<number>;

interface Functions {
  readonly traced_fetch: Fetch;
  readonly host_in_span: Fetch;
  all_values(): Promise<void>;
  traced_add(left: number, right: number): Promise<number>;
}

/** Fields of the span `values`, as {@link tree} writes them. */
const VALUES =
  "yes=true no=false least=-9223372036854775808 most=18446744073709551615 small=1 half=0.5 nan=NaN " +
  "infinite=-Infinity wide=-170141183460469231731687303715884105728 " +
  "wider=340282366920938463463374607431768211455 text=täxt \u{1f680} empty= " +
  'point=Point { x: -1, y: Some("y") }';

/** What every span and event of the guest in the sandbox `first` says of where it comes from. */
const PLACE = {
  ...{ "ampoule.target": "testing::traced", "ampoule.level": "info" },
  ...{ "ampoule.sandbox.name": "first", "code.file.path": "fixtures/testing/src/traced.rs" },
  "code.line.number": expect.any(BigInt),
};

describeWithKvm("spans that are exported", () => {
  let collector: Collector;
  let rotel: Rotel | undefined;
  let sdk: Sdk;

  beforeAll(async () => {
    collector = await Collector.start();
    if (THROUGH !== undefined) rotel = await Rotel.start(THROUGH, collector.url);
  });
  afterAll(async () => {
    await rotel?.close();
    await collector.close();
  });

  /** The SDK, from now on until the test ends. */
  function register(keep = false): Sdk {
    const url = rotel?.url ?? collector.url;
    sdk = new Sdk({ url, spansMax: 2 * CALLS_AT_ONCE * SPANS.length, keep });
    return sdk;
  }

  /** Waits for so many spans, which another collector may hold back for a moment. */
  async function arrival(count: number): Promise<void> {
    while (rotel !== undefined && (await collector.arrived()) < count) await turns(100);
  }

  afterEach(async () => {
    await sdk.shutdown();
    expect(sdk.complaints).toEqual([]);
  });

  test("are at the collector what they were in the SDK", async () => {
    const sandbox = await testing({ name: "first", hostFunctions: { fetch_number: fetchOrThrow } });
    const sdk = register(true);
    const { host_in_span, all_values } = sandbox.call as unknown as Functions;
    await calledBy(1, async () => {
      await host_in_span(3);
      await all_values();
      await expect(host_in_span(-1)).rejects.toThrow("negative");
    });
    const snapshot = await calledBy(2, () => sandbox.snapshot());
    const other = await Sandbox.create({ snapshot, hostFunctions: HOST_FUNCTIONS });
    snapshot.close();
    await calledBy(3, () => (other.call as unknown as Functions).traced_add(20, 22));
    await other.close();
    await sdk.flush();
    await arrival(sdk.spans.length);
    const spans = await collector.spans();
    const byId = new Map(sdk.spans.map((span) => [span.spanContext().spanId, asCollected(span)]));
    expect(spans.length).toBe(byId.size);
    for (const span of spans) expect(span).toEqual(byId.get(span.spanId));
    expect(tree(spans, caller(1))).toEqual([
      "ampoule.call host_in_span",
      "  first",
      "    second number=2",
      "      third: deep inside, before, behind",
      "        ampoule.host fetch_number",
      "          query query.id=3",
      "ampoule.call all_values",
      // A value of its has panicked while it was written.
      `  values ${VALUES} failed (): a message of [1, 2], around, exception, panicking`,
      "    while formatting: talking",
      "ampoule.call host_in_span error.type=ERR_AMPOULE_HOST_FUNCTION failed (host_in_span: negative)",
      "  first",
      "    second number=2",
      "      third: deep inside, before, behind",
      "        ampoule.host fetch_number error.type=RangeError failed (negative)",
    ]);
    const [second] = spans.filter(({ name }) => name === "second");
    const attributes = { ...PLACE, number: 2n };
    expect(second?.attributes).toEqual(attributes);
    expect(second).toMatchObject({
      ...{ kind: 1, scope: OUR_SCOPE, resource: RESOURCE, links: [], dropped: 0 },
      status: { code: 0, message: "" },
    });
    const [third] = spans.filter(({ name }) => name === "third");
    const { start = 0n, end = 0n, events = [] } = third ?? {};
    for (const event of events) expect(event.attributes).toEqual(PLACE);
    const times = [start, ...events.map(({ time }) => time), end];
    expect(times).toEqual([...times].sort((one, other) => (one < other ? -1 : 1)));
    // Not cut to microseconds on the way.
    expect(spans.some((span) => span.start % 1000n !== 0n)).toBe(true);
    const [made] = tree(spans, caller(2));
    expect(made).toBe("ampoule.snapshot");
    expect(tree(spans, caller(3))).toEqual([
      "ampoule.call traced_add linked to ampoule.snapshot",
      "  add left=20 right=22",
    ]);
  });

  test(`of ${CALLS} calls in ${SANDBOXES} sandboxes arrive once, each in its place`, async () => {
    await collector.count({ traces: CALLS, prefix: PREFIX, resource: RESOURCE, spans: SPANS });
    const sandboxes = await Promise.all(
      Array.from({ length: SANDBOXES }, () => testing({ hostFunctions, memory: "16MiB" })),
    );
    // Making them is no part of any caller's trace.
    const sdk = register();
    const start = performance.now();
    let next = 0;
    const lane = async (fetch: Fetch, last: number): Promise<void> => {
      while (next < last) {
        const number = ++next;
        const answer = await calledBy(number, () => fetch(number));
        if (answer !== number * 2) throw new Error(`call ${number} gave ${answer}`);
      }
    };
    let sending = Promise.resolve();
    while (next < CALLS) {
      const last = Math.min(next + CALLS_AT_ONCE, CALLS);
      const lanes = sandboxes.map((sandbox) =>
        lane((sandbox.call as unknown as Functions).traced_fetch, last),
      );
      await Promise.all(lanes);
      await sending;
      // While the next calls are made; it is awaited behind them.
      sending = sdk.flush();
      sending.catch(() => {});
    }
    await sending;
    const expected = CALLS * SPANS.length;
    await arrival(expected);
    const { requests, bytes, ...counts } = await collector.tally();
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    console.log(
      `${CALLS} calls in ${seconds} s: ${expected} spans, ${requests} requests, ${bytes} bytes`,
    );
    expect(counts).toEqual({
      ...{ spans: expected, distinct: expected, lost: 0, problems: 0, described: [] },
    });
  });
});
