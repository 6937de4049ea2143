/** The collector that tests of the export use: it takes what the protocol allows, and nothing else. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { trace } from "@opentelemetry/api";
import { Collector } from "./support/otlp/collector.js";
import { RESOURCE, Sdk } from "./support/otlp/sdk.js";

const JSON_TYPE = "application/json";

let collector: Collector;

beforeAll(async () => {
  collector = await Collector.start();
});
afterAll(() => collector.close());

/** Sends a request, and gives the status of the answer. */
async function send(body: unknown, type = JSON_TYPE): Promise<number> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const headers = { "content-type": type };
  const { status } = await fetch(`${collector.url}/v1/traces`, {
    method: "POST",
    headers,
    body: text,
  });
  return status;
}

const NUMBER = { key: "number", value: { intValue: 1 } };
const HALF = { key: "\udd80", value: { intValue: 1 } };
const integer = (intValue: number): object => ({ key: "number", value: { intValue } });
const TWO_VALUES = { key: "number", value: { intValue: 1, boolValue: true } };

/** A request with one span of these fields. */
function request(fields: object): object {
  const span = {
    traceId: "5b8efff798038103d269b633813fc60c",
    spanId: "eee19b7ec3c1b174",
    name: "work",
    kind: 1,
    startTimeUnixNano: "1544712660000000000",
    endTimeUnixNano: "1544712660000000009",
    ...fields,
  };
  const resource = { attributes: [{ key: "service.name", value: { stringValue: "x" } }] };
  const scopeSpans = [{ scope: { name: "scope", version: "1" }, spans: [span] }];
  return { resourceSpans: [{ resource, scopeSpans }] };
}

test("it gives back what the SDK's exporter has sent", async () => {
  const sdk = new Sdk({ url: collector.url, spansMax: 1 });
  const link = {
    traceId: "5b8efff798038103d269b633813fc60c",
    spanId: "eee19b7ec3c1b174",
    traceFlags: 1,
  };
  const span = trace.getTracer("scope", "4.5.6").startSpan("work", {
    kind: 2,
    startTime: [1_800_000_000, 123_456_789],
    attributes: { yes: true, whole: 2 ** 40, half: 0.5, text: "ü", list: ["a", "b"] },
    links: [{ context: link, attributes: { why: "test" } }],
  });
  span.addEvent("event", { detail: -1 }, [1_800_000_000, 123_456_790]);
  span.setStatus({ code: 2, message: "broken" });
  span.end([1_800_000_001, 1]);
  await sdk.flush();
  expect(await collector.spans()).toEqual([
    {
      ...{ traceId: span.spanContext().traceId, spanId: span.spanContext().spanId },
      ...{ parentSpanId: "", traceState: "", flags: 0x101, name: "work", kind: 3, dropped: 0 },
      start: 1_800_000_000_123_456_789n,
      end: 1_800_000_001_000_000_001n,
      attributes: { yes: true, whole: 2n ** 40n, half: 0.5, text: "ü", list: ["a", "b"] },
      events: [{ name: "event", time: 1_800_000_000_123_456_790n, attributes: { detail: -1n } }],
      links: [
        {
          ...link,
          traceFlags: undefined,
          traceState: "",
          flags: 0x101,
          attributes: { why: "test" },
        },
      ],
      status: { code: 2, message: "broken" },
      scope: { name: "scope", version: "4.5.6" },
      resource: RESOURCE,
    },
  ]);
  await sdk.shutdown();
  expect(sdk.complaints).toEqual([]);
});

test.each<[what: string, type: string, body: unknown]>([
  ["an unknown field", JSON_TYPE, request({ colour: "red" })],
  ["a field's original name", JSON_TYPE, request({ trace_state: "" })],
  ["a wrong type", JSON_TYPE, request({ name: 7 })],
  ["a time that is no number", JSON_TYPE, request({ endTimeUnixNano: "soon" })],
  ["an enumeration's name", JSON_TYPE, request({ kind: "SPAN_KIND_INTERNAL" })],
  ["an identifier in base64", JSON_TYPE, request({ traceId: "W47/95gDgQPSabYzgT/GDA==" })],
  ["a short identifier", JSON_TYPE, request({ spanId: "eee19b7ec3c1b1" })],
  ["an identifier of zeros", JSON_TYPE, request({ spanId: "0000000000000000" })],
  ["half of a character", JSON_TYPE, request({ name: "half \ud83e" })],
  ["half of a character in a key", JSON_TYPE, request({ attributes: [HALF] })],
  ["an integer beyond 64 bits", JSON_TYPE, request({ attributes: [integer(2 ** 63)] })],
  ["an integer with an exponent", JSON_TYPE, request({ attributes: [integer(1e300)] })],
  ["an integer with a fraction", JSON_TYPE, request({ attributes: [integer(0.5)] })],
  ["no name", JSON_TYPE, request({ name: "" })],
  ["two attributes of one key", JSON_TYPE, request({ attributes: [NUMBER, NUMBER] })],
  ["an attribute of two values", JSON_TYPE, request({ attributes: [TWO_VALUES] })],
  ["text that is no JSON", JSON_TYPE, "{"],
  ["another encoding", "text/plain", request({})],
  ["bytes that are no message", "application/x-protobuf", "\u0007"],
  ["an unknown field of a message", "application/x-protobuf", "\u0078\u0001"],
])("it refuses %s, and says so", async (_what, type, body) => {
  expect(await send(request({}))).toBe(200);
  expect(await collector.spans()).toHaveLength(1);
  expect(await send(body, type)).toBe(400);
  await expect(collector.spans()).rejects.toThrow("the collector refused requests");
});

const SHAPE = {
  traces: 2,
  prefix: "aaaaaaaaaaaaaaaa",
  resource: { "service.name": "x" },
  spans: [
    { name: "outer", parent: "", scope: { name: "scope", version: "1" }, attributes: {} },
    {
      name: "inner",
      parent: "outer",
      scope: { name: "scope", version: "1" },
      attributes: { number: "number", kind: "small" },
    },
  ],
};

/** A span of the shape above. */
function shaped(number: number, name: string, fields: object = {}): object {
  const hex = (value: number): string => value.toString(16).padStart(16, "0");
  const isOuter = name === "outer";
  return request({
    traceId: SHAPE.prefix + hex(number),
    spanId: hex(number * 16 + (isOuter ? 1 : 2)),
    parentSpanId: hex(isOuter ? number : number * 16 + 1),
    name,
    attributes: [
      { key: "number", value: { intValue: number } },
      { key: "kind", value: { stringValue: "small" } },
    ],
    ...fields,
  });
}

test("it counts spans, in whatever order they come", async () => {
  await collector.count(SHAPE);
  const spans = [shaped(2, "inner"), shaped(1, "outer"), shaped(2, "outer"), shaped(1, "inner")];
  for (const span of spans) expect(await send(span)).toBe(200);
  expect(await collector.tally()).toMatchObject({
    ...{ requests: 4, spans: 4, distinct: 4, lost: 0, problems: 0, described: [] },
  });
});

test.each<[what: string, problem: string, others: object[]]>([
  ["a span that is lost", "lost: inner of trace 2", []],
  ["a span that comes twice", "twice: inner of trace 2", [shaped(2, "inner"), shaped(2, "inner")]],
  ["an id of two spans", "", [shaped(2, "inner", { spanId: "0000000000000012" })]],
  [
    "a span of another parent",
    "parent 33333",
    [shaped(2, "inner", { parentSpanId: "0000000000008235" })],
  ],
  ["a span without a parent", "parent 0", [shaped(2, "inner", { parentSpanId: "" })]],
  ["an unknown trace", "a stranger, inner", [shaped(3, "inner")]],
  ["a trace of nobody", "a stranger, inner", [shaped(2, "inner", { traceId: "b".repeat(32) })]],
  ["an unknown name", "a stranger, outside", [shaped(2, "outside")]],
  [
    "a missing attribute",
    "number is undefined: inner of trace 2",
    [shaped(2, "inner", { attributes: [] })],
  ],
  [
    "an end behind the parent's",
    "not inside outer",
    [shaped(2, "inner", { endTimeUnixNano: "1544712660000000010" })],
  ],
  [
    "a start before the parent's",
    "not inside outer",
    [shaped(2, "inner", { startTimeUnixNano: 1 })],
  ],
])("it notices %s", async (_what, problem, others) => {
  await collector.count(SHAPE);
  const right = [shaped(1, "outer"), shaped(1, "inner"), shaped(2, "outer")];
  for (const span of [...right, ...others]) expect(await send(span)).toBe(200);
  const { problems, distinct, described } = await collector.tally();
  if (problem === "") expect(distinct).toBe(3);
  else expect(described[0]).toContain(problem);
  expect(problems > 0 || distinct < 4).toBe(true);
});
