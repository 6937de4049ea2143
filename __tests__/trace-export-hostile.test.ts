/**
 * Words of a guest's that are meant to hurt, through the stock exporters for JSON and for Protocol Buffers:
 * none makes a strict collector refuse a batch, in which other callers' spans may be. Every text stands in
 * names, messages, targets, keys and values of a guest's spans, events and log records.
 *
 * AMPOULE_HOSTILE_WORDS is the number of texts and numbers in each encoding.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import { async, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { type CollectedSpan, Collector } from "./support/otlp/collector.js";
import { Sdk } from "./support/otlp/sdk.js";
import { Random } from "./support/random.js";

const WORDS = Number(process.env["AMPOULE_HOSTILE_WORDS"] ?? 10_000);
/** Texts of one call, and as many numbers. */
const IN_CALL = 50;
/** Calls before everything is sent. */
const CALLS = 20;
/** Spans of one text: its own, and one inside. */
const SPANS_MAX = CALLS * (2 * IN_CALL + 1) + 1;

const PIECES = [
  ...'a "\\\0\u0001\u001b\n\u007f\u0085\u2028\u202e\ufeff\ufffd\uffff',
  ...["\u{1f980}", "\u{10ffff}", "\u{10000}", "e\u0301", "\u{1f468}\u200d\u{1f469}"],
  ...[
    "__proto__",
    "constructor",
    "ampoule.",
    "error.type",
    "otel.kind",
    "\u001b[2J",
    "%s",
    "\\ud83e",
  ],
];
/** Where something is cut, in UTF-16 units or bytes. */
const CUTS = [1, 16, 255, 256, 257, 4095, 4096];

const NUMBERS = [
  ...[0, -0, 0.5, 1e21, -1e21, 1e300, Number.MAX_VALUE, -Number.MAX_VALUE, Number.MIN_VALUE],
  ...[
    2 ** 53 - 1,
    2 ** 53,
    2 ** 62,
    2 ** 63,
    2 ** 63 - 1024,
    -(2 ** 63),
    -(2 ** 63) - 2048,
    2 ** 64,
  ],
  ...[Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
];

/** A text that is well-formed, as any in a guest is, with characters of two units at places of cuts. */
function text(random: Random): string {
  const pieces = Array.from({ length: random.below(6) }, () => random.pick(PIECES)).join("");
  if (random.below(3) > 0) return pieces;
  const cut = random.below(20) === 0 ? random.pick(CUTS) : random.pick(CUTS.slice(0, 5));
  const before = "x".repeat(Math.max(0, cut - 1 - random.below(3)));
  return `${before}\u{1f980}\u{1f980}${pieces}`;
}

function number(random: Random): number {
  if (random.below(2) === 0) return random.pick(NUMBERS);
  // Any bits are a number.
  const view = new DataView(new ArrayBuffer(8));
  view.setUint32(0, random.below(2 ** 32));
  view.setUint32(4, random.below(2 ** 32));
  return view.getFloat64(0);
}

/** `value` as it arrives. */
function arriving(value: number): unknown {
  if (!Number.isInteger(value)) return Number.isFinite(value) ? value : String(value);
  return Number.isSafeInteger(value) ? BigInt(value) : expect.stringMatching(/^-?\d/);
}

describeWithKvm("hostile words", () => {
  let collector: Collector;
  let sdk: Sdk;
  beforeAll(async () => {
    collector = await Collector.start();
  });
  afterAll(() => collector.close());
  afterEach(async () => {
    await sdk.shutdown();
    expect(sdk.complaints).toEqual([]);
  });

  const ENCODINGS = [
    ["JSON", false, {}],
    ["Protocol Buffers", true, {}],
    ["JSON, cut by the SDK", false, { attributeValueLengthLimit: 16 }],
  ] as const;
  test.each(ENCODINGS)("in %s are no reason to refuse a batch", async (_, asProtobuf, limits) => {
    sdk = new Sdk({ url: collector.url, spansMax: SPANS_MAX, asProtobuf, ...limits });
    const sandbox = await testing({ restore: "after-call", name: "\ud83e named by half" });
    const says = async(sandbox, "says");
    const random = new Random(WORDS + Number(asProtobuf));
    const isWhole = !("attributeValueLengthLimit" in limits);
    const words = isWhole ? WORDS : Math.min(WORDS, 10_000);
    let arrived = 0;
    for (let sent = 0; sent < words; ) {
      const expected: [string, number][] = [];
      for (let call = 0; call < CALLS && sent < words; call++) {
        const texts = Array.from({ length: IN_CALL }, () => text(random));
        const numbers = Array.from({ length: IN_CALL }, () => number(random));
        await says(texts, numbers);
        expected.push(...texts.map((each, at): [string, number] => [each, numbers[at] ?? 0]));
        sent += 2 * IN_CALL;
      }
      await sdk.flush();
      // Rejects if anything was refused.
      const spans = await collector.spans();
      arrived += spans.length;
      const said = spans.filter(isSaid);
      expect(said).toHaveLength(expected.length);
      if (isWhole) {
        const found = said.map(({ attributes }) => [attributes["text"], attributes["number"]]);
        expect(found).toEqual(expected.map(([each, value]) => [each, arriving(value)]));
      }
    }
    expect(arrived).toBeGreaterThan(words);
  });
});

/** Whether it is one of those that the Rust part of the guest makes of each text. */
function isSaid({ attributes }: CollectedSpan): boolean {
  return attributes["ampoule.target"] === "testing::traced" && "number" in attributes;
}
