/**
 * What a guest declares does not make its values expensive. Counts how often code of `ts/values` runs,
 * by the engine's own coverage, which no counter of ours could fool.
 */
import { Session } from "node:inspector/promises";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Sandbox } from "../ts/index.js";
import { failureOf, rustGuest, sync } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";

/** Calls of functions and runs of blocks in the modules that read and write values. */
class Counter {
  readonly #session = new Session();

  async start(): Promise<void> {
    this.#session.connect();
    await this.#session.post("Profiler.enable");
    await this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  async count(work: () => unknown): Promise<number> {
    await this.#session.post("Profiler.takePreciseCoverage");
    await work();
    const { result } = await this.#session.post("Profiler.takePreciseCoverage");
    let sum = 0;
    for (const { url, functions } of result) {
      if (!url.includes("/ts/values/")) continue;
      for (const { ranges } of functions) for (const { count } of ranges) sum += count;
    }
    return sum;
  }

  stop(): void {
    this.#session.disconnect();
  }
}

const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`);

const each = <T>(count: number, make: (name: string, index: number) => T): Record<string, T> =>
  Object.fromEntries(names("p", count).map((name, index) => [name, make(name, index)]));

const MANY = 1500;

/** Types that declare much, and a small value of each. */
const LARGE: [string, unknown, unknown][] = [
  ["optional properties", { type: "object", properties: each(MANY, () => true) }, {}],
  ["constants", { enum: names("c", MANY) }, "c1499"],
  ["numbers as constants", { enum: Object.keys(names("", MANY)).map(Number) }, 1499],
  ["documented constants", { oneOf: names("c", MANY).map((value) => ({ const: value })) }, "c1499"],
  [
    "variants with a name around them",
    {
      oneOf: names("v", MANY).map((name) => ({
        type: "object",
        properties: { [name]: { type: "integer" } },
        required: [name],
      })),
    },
    { v1499: 1 },
  ],
  [
    "variants with a tag",
    {
      oneOf: names("v", MANY).map((name) => ({
        type: "object",
        properties: { kind: { const: name }, [name]: { type: "integer" } },
        required: ["kind", name],
      })),
    },
    { kind: "v1499", v1499: 1 },
  ],
  [
    "structs that share a flattened one",
    {
      allOf: [
        { type: "object", properties: each(MANY, () => true) },
        { type: "object", properties: { own: { type: "integer" } }, required: ["own"] },
      ],
    },
    { own: 1 },
  ],
];

async function declared(argument: unknown, result: unknown): Promise<Sandbox> {
  const json = (schema: unknown): Uint8Array => Buffer.from(JSON.stringify(schema));
  const files = { "/argument.json": json(argument), "/result.json": json(result) };
  return Sandbox.create({ guest: rustGuest("values"), files });
}

describeWithKvm("the work of reading and writing values", () => {
  const counter = new Counter();
  beforeAll(() => counter.start());
  afterAll(() => counter.stop());

  const ITEMS = 1000;
  /** For an item: head, key, value, lookup and what is around them. To look at all would be 1,500. */
  const PER_ITEM = 250;

  test.each(LARGE)("follows what is sent where many %s are declared", async (_, schema, value) => {
    const list = { type: "array", items: schema };
    const sandbox = await declared(list, list);
    const values = Array.from({ length: ITEMS }, () => structuredClone(value));
    const echo = sync(sandbox, "echo_declared");
    // What is done once for a type, whatever it declares.
    expect(echo([value])).toEqual([value]);
    const steps = await counter.count(() => expect(echo(values)).toEqual(values));
    expect(steps).toBeGreaterThan(ITEMS);
    expect(steps).toBeLessThan(PER_ITEM * ITEMS);
    await sandbox.close();
  });

  test("follows what classes have where a struct declares more", async () => {
    class Small {
      get p7(): number {
        return 7;
      }
    }
    const list = { type: "array", items: { type: "object", properties: each(MANY, () => true) } };
    const sandbox = await declared(list, true);
    const echo = sync(sandbox, "echo_declared");
    expect(echo([new Small()])).toEqual([{ p7: 7 }]);
    const values = Array.from({ length: ITEMS }, () => new Small());
    expect(await counter.count(() => echo(values))).toBeLessThan(PER_ITEM * ITEMS);
    await sandbox.close();
  });

  test("ends where types can only be told apart by trying", async () => {
    // Each alternative fits but for the last item of what it is tried on, level for level.
    const alternatives = names("v", 40).map((name) => ({
      type: "array",
      prefixItems: [{ $ref: "#/$defs/T" }, { const: name }],
    }));
    const schema = {
      $ref: "#/$defs/T",
      $defs: { T: { anyOf: [...alternatives, { type: "null" }] } },
    };
    const sandbox = await declared(schema, schema);
    let value: unknown = null;
    for (let level = 0; level < 12; level++) value = [value, "v39"];
    for (const name of ["echo_declared", "send_declared"]) {
      const steps = await counter.count(async () => {
        const failure = await failureOf(() => sync(sandbox, name)(value));
        expect(failure["message"]).toContain("less trying of alternatives");
      });
      expect(steps).toBeLessThan(2_000_000);
    }
    await sandbox.close();
  });

  const CHAIN = 2500;
  /** To go to the end from each would be 1,250. */
  const PER_LINK = 150;

  test.each([
    ["references", each(CHAIN, (_, index) => ({ $ref: `#/$defs/p${index + 1}` }))],
    [
      "alternatives",
      each(CHAIN, (_, index) => ({ anyOf: [{ $ref: `#/$defs/p${index + 1}` }, true] })),
    ],
    [
      "merged parts",
      each(CHAIN, (_, index) => ({
        allOf: [{ $ref: `#/$defs/p${index + 1}` }, { type: "object" }],
      })),
    ],
  ])("of an interface follows its size, where %s lead to one another", async (_, definitions) => {
    const schema = { $ref: "#/$defs/p0", $defs: { ...definitions, [`p${CHAIN}`]: true } };
    const steps = await counter.count(async () => {
      const failure = await failureOf(() => declared(schema, true));
      expect(failure["code"]).toBe("ERR_AMPOULE_INCOMPATIBLE_GUEST");
      expect(failure["message"]).toContain("follows more than 16 references in a row");
    });
    expect(steps).toBeLessThan(PER_LINK * CHAIN);
  });

  test.each([
    [
      "alternatives of nothing",
      { allOf: Array.from({ length: 4 }, () => ({ anyOf: Array(500).fill({}) })) },
    ],
    [
      "alternatives of a large struct",
      {
        type: "object",
        properties: { large: { type: "object", properties: each(1000, () => true) } },
        oneOf: names("v", 500).map((name) => ({
          type: "object",
          properties: { [name]: true },
          required: [name],
        })),
      },
    ],
  ])("of an interface is bounded where parts are multiplied: %s", async (_, schema) => {
    const steps = await counter.count(async () => {
      const failure = await failureOf(() => declared(schema, true));
      expect(failure["code"]).toBe("ERR_AMPOULE_INCOMPATIBLE_GUEST");
      expect(failure["message"]).toContain("more than 50000 parts");
    });
    expect(steps).toBeLessThan(2_000_000);
  });

  test("of types that contain one another, however far, needs no stack", async () => {
    const definitions = each(CHAIN, (_, index) => ({
      type: "object",
      properties: { next: { $ref: `#/$defs/p${index + 1}` } },
    }));
    const schema = { $ref: "#/$defs/p0", $defs: { ...definitions, [`p${CHAIN}`]: true } };
    const sandbox = await declared(schema, schema);
    expect(sync(sandbox, "echo_declared")({ next: { next: {} } })).toEqual({ next: { next: {} } });
    await sandbox.close();
  });

  test.each([
    [{ enum: Object.keys(names("", 20_001)).map(Number) }, "more than 20000 constants"],
    [{ type: "object", properties: each(10_001, () => true) }, "more than 10000 properties"],
    [
      { type: "object", properties: each(9000, () => ({ enum: [1, 2, 3] })) },
      "more than 50000 parts",
    ],
  ])("is refused before it begins: %#", async (schema, message) => {
    const failure = await failureOf(() => declared(schema, true));
    expect(failure["code"]).toBe("ERR_AMPOULE_INCOMPATIBLE_GUEST");
    expect(failure["message"]).toContain(message);
  });
});
