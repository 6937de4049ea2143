import { beforeEach, expect, test } from "@jest/globals";
import type { Sandbox } from "../ts/index.js";
import { failureOf, sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";

describeWithKvm("values", () => {
  let sandbox: Sandbox;
  const echo = (name: string, value: unknown): unknown => sync(sandbox, `echo_${name}`)(value);

  beforeEach(async () => {
    sandbox = await testing();
  });

  const SAME: [string, unknown][] = [
    ["i32", 0],
    ["i32", 23],
    ["i32", 24],
    ["i32", 255],
    ["i32", 256],
    ["i32", 65_536],
    ["i32", 2_147_483_647],
    ["i32", -1],
    ["i32", -24],
    ["i32", -25],
    ["i32", -2_147_483_648],
    ["u8", 255],
    ["i64", 0n],
    ["i64", -1n],
    ["i64", 2n ** 32n],
    ["i64", 2n ** 53n + 1n],
    ["i64", 2n ** 63n - 1n],
    ["i64", -(2n ** 63n)],
    ["u64", 2n ** 64n - 1n],
    ["f64", 0],
    ["f64", -0],
    ["f64", 1],
    ["f64", 0.1],
    ["f64", 5e-324],
    ["f64", Number.MAX_VALUE],
    ["f64", Number.POSITIVE_INFINITY],
    ["f64", Number.NaN],
    ["bool", true],
    ["bool", false],
    ["string", ""],
    ["string", "short"],
    ["string", "twenty-three characters"],
    ["string", "twenty-four characters.."],
    ["string", "grün 漢字 🎈"],
    ["string", "x".repeat(70_000)],
    ["char", "é"],
    ["char", "🎈"],
    ["option", null],
    ["option", "some"],
    ["vec", []],
    ["vec", [1, -2, 3]],
    ["vec_i64", [1n, 2n ** 62n]],
    ["tuple", [7, "seven", true]],
    ["struct", { x: 1, y: -0.5 }],
    ["enum", "empty"],
    ["enum", { dot: { x: 1, y: 2 } }],
    [
      "enum",
      {
        line: [
          { x: 0, y: 0 },
          { x: 1, y: 1 },
        ],
      },
    ],
    ["enum", { circle: { center: { x: 0, y: 0 }, radius: 2 } }],
    ["bytes", new Uint8Array()],
    ["bytes", Uint8Array.from({ length: 300 }, (_, index) => index)],
    ["optional_bytes", null],
    ["optional_bytes", new Uint8Array([1, 2])],
    ["map", {}],
    ["map", { a: 1, "": 2, "with space": 3 }],
  ];

  test.each(SAME)("echo_%s gives back %p", (name, value) => {
    expect(echo(name, value)).toEqual(value);
  });

  test("a struct with a field of every kind comes back whole, also asynchronously", async () => {
    const value = {
      flag: true,
      small: 200,
      number: -5,
      signedLong: -(2n ** 60n),
      unsignedLong: 2n ** 64n - 1n,
      float: 2,
      text: "text",
      bytes: new Uint8Array([0, 255]),
      optional: "here",
      list: [1, 2],
      pair: [1, "two"],
      shape: { dot: { x: 0, y: 0 } },
      map: { big: 2n ** 55n, small: 1n },
      byNumber: { "1": "one", "20": "twenty" },
    };
    expect(echo("everything", value)).toEqual(value);
    await expect(sandbox.call["echo_everything"]?.(value)).resolves.toEqual(value);
    const { optional: _, ...without } = value;
    expect(echo("everything", without)).toEqual({ ...without, optional: null });
  });

  test("a large message grows the staging buffer and comes back", () => {
    const bytes = new Uint8Array(3 * 1024 ** 2).map((_, index) => index * 7);
    expect(Buffer.compare(echo("bytes", bytes) as Uint8Array, bytes)).toBe(0);
    expect(echo("i32", 1)).toBe(1);
  });

  test("results do not refer to memory that later calls reuse", () => {
    const first = echo("bytes", new Uint8Array([1, 2, 3])) as Uint8Array;
    echo("bytes", new Uint8Array([9, 9, 9]));
    expect([...first]).toEqual([1, 2, 3]);
    expect(first.buffer.byteLength).toBe(3);
  });

  test("nothing comes back as undefined, and undefined goes in as nothing", () => {
    expect(sync(sandbox, "nothing")()).toBeUndefined();
    expect(echo("option", undefined)).toBeNull();
  });

  const WRONG: [string, unknown, string][] = [
    ["i32", "42", 'must be an integer (int32, -2147483648 to 2147483647), got string ("42")'],
    ["i32", 1.5, "must be an integer (int32, -2147483648 to 2147483647), got number (1.5)"],
    ["i32", 2 ** 31, "got number (2147483648)"],
    ["i32", 1n, "got bigint (1n)"],
    ["u8", -1, "must be an integer (uint8, 0 to 255), got number (-1)"],
    [
      "i64",
      5,
      "must be a bigint (int64, -9223372036854775808 to 9223372036854775807), got number (5)",
    ],
    ["u64", -1n, "got bigint (-1n)"],
    ["f64", "x", "must be a number, got string"],
    ["bool", 1, "must be a boolean, got number (1)"],
    ["string", 42, "must be a string, got number (42)"],
    ["string", null, "must be a string, got null"],
    [
      "string",
      "a\ud800b",
      "must be well-formed Unicode, got a lone surrogate (\\ud800) at index 1",
    ],
    ["char", "ab", "must be a string of one character"],
    ["option", 7, "must be a string or null, got number (7)"],
    ["vec", [1, "2"], "at [1] must be an integer"],
    ["vec", { length: 1 }, "must be an array, got an object"],
    ["tuple", [1, "a"], "must be an array of 3 items, got an array of 2 items"],
    ["struct", { x: 1 }, "at .y must be a number, got nothing"],
    ["struct", { x: 1, y: "2" }, "at .y must be a number, got string"],
    ["struct", [1, 2], "must be an object, got an array"],
    ["enum", "square", "must be"],
    ["enum", { dot: { x: 1 } }, "at .dot.y must be a number, got nothing"],
    ["bytes", [1, 2], "must be bytes (a Uint8Array, another view, or a buffer), got an array"],
    ["map", { a: "1" }, "at .a must be an integer"],
  ];

  test.each(WRONG)("echo_%s refuses %p and says why", async (name, value, message) => {
    const failure = await failureOf(() => echo(name, value));
    expect(failure["code"]).toBe("ERR_AMPOULE_ARGUMENT");
    expect(failure["message"]).toContain(`echo_${name}: parameter "value" `);
    expect(failure["message"]).toContain(message);
    expect(failure["details"]).toEqual({ function: `echo_${name}`, parameter: "value" });
    expect(sandbox.state).toBe("ready");
  });

  test("a refused argument leaves a later call alone", () => {
    expect(() => echo("vec", [1, 2, "3"])).toThrow();
    expect(echo("vec", [1, 2, 3])).toEqual([1, 2, 3]);
  });

  test("a getter that calls the same sandbox does not mix two messages up", () => {
    const point = {
      get x(): number {
        return echo("f64", 4) as number;
      },
      y: 5,
    };
    expect(echo("struct", point)).toEqual({ x: 4, y: 5 });
  });

  test("wrong numbers of arguments name the parameters", () => {
    const add = sync(sandbox, "add");
    expect(() => add(1)).toThrow("add: takes 2 arguments (left, right), got 1");
    expect(() => add(1, 2, 3)).toThrow("(left, right), got 3");
    expect(() => add(1, 2, { timeoutMs: 1000 }, 4)).toThrow("(left, right), got 4");
  });
});
