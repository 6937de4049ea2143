/** Every kind of Rust type: what it takes, what it gives back, and what it says of anything else. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { GuestError, Sandbox } from "../ts/index.js";
import { failureOf, rustGuest, sync } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";

class Counted {
  readonly name = "by a class";
  readonly #count = 3;
  get count(): number {
    return this.#count;
  }
  tags = ["own"];
  helper = (): void => {};
}

class Derived extends Counted {
  get note(): string {
    return "from further up";
  }
}

class Unrelated {
  readonly a = 1;
}

const nested = (levels: number): unknown => {
  let value: unknown = 1;
  for (let level = 0; level < levels; level++) value = [value];
  return value;
};

describeWithKvm("values of every kind", () => {
  let sandbox: Sandbox;
  const echo = (name: string, value: unknown): unknown => sync(sandbox, `echo_${name}`)(value);

  beforeAll(async () => {
    sandbox = await Sandbox.create({ guest: rustGuest("values") });
  });
  afterAll(() => sandbox.close());

  const SAME: [string, unknown][] = [
    ["i128", -(2n ** 127n)],
    ["i128", 2n ** 127n - 1n],
    ["i128", -(2n ** 64n)],
    ["i128", -(2n ** 63n) - 1n],
    ["i128", -1n],
    ["u128", 2n ** 128n - 1n],
    ["u128", 2n ** 64n],
    ["u128", 0n],
    ["usize", 2n ** 64n - 1n],
    ["isize", -(2n ** 63n)],
    ["f32", 0.5],
    ["f32", -0],
    ["f32", Number.NEGATIVE_INFINITY],
    ["f32", 3.4028234663852886e38],
    ["json", { a: [1, -0, 1.5, "x", null, true, {}], ["__proto__"]: { b: [] } }],
    ["json", 2n ** 63n],
    ["duration", { secs: 1n, nanos: 5 }],
    ["address", "::1"],
    ["int_map", { "-1": "a", "2": "b" }],
    ["bool_map", { true: 1 }],
    ["color_map", { red: 1, blue: 2 }],
    ["nested_option", [null, "a"]],
    ["pair", [1, "a"]],
    ["external", "empty"],
    ["external", { named: { wide: 2n ** 60n, maybe: null } }],
    ["internal", { type: "login", user: "ada", at: 2n ** 60n }],
    ["internal", { type: "signup", id: 2n ** 60n, email: null }],
    ["internal", { type: "ping" }],
    ["adjacent", { kind: "Wide", data: 1n }],
    ["adjacent", { kind: "Point", data: { x: 1, y: -0 } }],
    ["adjacent", { kind: "Nothing" }],
    ["untagged", 5],
    ["untagged", 5n],
    ["untagged", [1n, 1, "x", [true], { from: 1n, to: 2n }, { name: "y" }]],
    ["envelope", { sequence: 1n, type: "signup", id: 2n, email: "e" }],
    ["flat", { id: 1n, width: 2n, height: 3n, more: 4n }],
    ["maybe_event", null],
  ];

  test.each(SAME)("echo_%s gives back %p", (name, value) => {
    expect(echo(name, value)).toEqual(value);
  });

  test("what stands for a value is taken for it", () => {
    const bytes = Uint8Array.of(1, 2, 3, 4);
    const cases: [string, unknown, unknown][] = [
      ["map", new Map([["a", 1]]), { a: 1 }],
      ["map", Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
      [
        "int_map",
        new Map<number | bigint, string>([
          [-1, "a"],
          [2n, "b"],
        ]),
        { "-1": "a", "2": "b" },
      ],
      [
        "flat",
        new Map([
          ["id", 1n],
          ["width", 2n],
          ["height", 3n],
        ]),
        { id: 1n, width: 2n, height: 3n },
      ],
      ["set", new Set(["b", "a", "b"]), ["a", "b"]],
      ["list", Int32Array.of(1, -2), [1, -2]],
      ["deque", BigUint64Array.of(5n), [5n]],
      ["array", bytes, [1, 2, 3, 4]],
      ["bytes", bytes.buffer, bytes],
      ["bytes", new DataView(bytes.buffer, 1, 2), Uint8Array.of(2, 3)],
      ["bytes", Buffer.from("ab"), Uint8Array.of(97, 98)],
      ["bytes", new Uint16Array(bytes.buffer), bytes],
      ["bytes", new SharedArrayBuffer(2), new Uint8Array(2)],
      ["json", new Map<string, unknown>([["a", new Set([1])]]), { a: [1] }],
      ["json", { a: undefined, b: [undefined] }, { b: [null] }],
      ["item", new Counted(), { name: "by a class", count: 3, tags: ["own"] }],
      [
        "item",
        new Derived(),
        { name: "by a class", count: 3, tags: ["own"], note: "from further up" },
      ],
      ["item", Object.create({ name: "inherited" }), { name: "inherited", count: null, tags: [] }],
    ];
    for (const [name, value, expected] of cases) expect(echo(name, value)).toEqual(expected);
  });

  const RANGE_64 = "uint64, 0 to 18446744073709551615";
  const TAGS = '"login" or "logout" or "signup" or "ping"';
  const WRONG: [string, () => unknown, string][] = [
    ["map", () => new Date(0), "must be a plain object or a Map, got a Date"],
    ["map", () => /x/, "must be a plain object or a Map, got a RegExp"],
    ["map", () => new Unrelated(), "must be a plain object or a Map, got an Unrelated"],
    ["map", () => ({ a: undefined }), "at .a must be an integer"],
    ["map", () => new Set(), "must be a plain object or a Map, got a Set"],
    ["map", () => new Error("x"), "must be a plain object or a Map, got an Error"],
    ["map", () => Promise.resolve({}), "got a promise, which was not awaited"],
    ["map", () => new Map([[{}, 1]]), "must be a Map whose keys are strings, numbers or booleans"],
    [
      "int_map",
      () =>
        new Map<unknown, string>([
          [1, "a"],
          ["1", "b"],
        ]),
      'got "1" twice',
    ],
    ["map", () => ({ "\ud800": 1 }), "must be well-formed Unicode, got a lone surrogate (\\ud800)"],
    ["item", () => new Date(0), "must be an object, got a Date"],
    ["item", () => new Number(1), "must be an object, got a Number"],
    ["item", () => [], "must be an object, got an array"],
    ["item", () => new Unrelated(), "at .name must be a string, got nothing"],
    ["text", () => new String("a"), "must be a string, got a String"],
    ["text", () => "a\udc00", "got a lone surrogate (\\udc00) at index 1"],
    ["char", () => "\ud800", "got a lone surrogate"],
    ["f32", () => 1e300, "must be a number of 32 bits"],
    ["f32", () => 3.4028235677973366e38, "must be a number of 32 bits"],
    ["i8", () => 128, "must be an integer (int8, -128 to 127), got number (128)"],
    ["u128", () => 2n ** 128n, "got bigint (of more than 128 bits)"],
    ["i128", () => 5, "got number (5)"],
    ["list", () => Object.assign([], { 0: 1, 2: 2 }), "at [1] must be an integer"],
    ["list", () => ({ 0: 1, length: 1 }), "must be an array, got an object"],
    ["json", () => Number.NaN, "must be a finite number, got number (NaN)"],
    ["json", () => [Number.POSITIVE_INFINITY], "at [0] must be a finite number"],
    ["json", () => 2n ** 200n, "must be a bigint of at most 128 bits"],
    ["json", () => ({ f() {} }), "at .f must be null, a boolean"],
    ["json", () => Symbol("s"), "got symbol"],
    ["json", () => new Date(0), "got a Date"],
    ["json", () => new Unrelated(), "got an Unrelated"],
    ["json", () => nested(64), "must be nested at most 64 levels deep"],
    ["bytes", () => "text", "must be bytes"],
    [
      "internal",
      () => ({ type: "login", user: "x" }),
      `at .at must be a bigint (${RANGE_64}), got nothing`,
    ],
    [
      "internal",
      () => ({ type: "login", user: "x", at: 1 }),
      `at .at must be a bigint (${RANGE_64}), got number (1)`,
    ],
    ["internal", () => ({ type: "signup", id: 1 }), "at .id must be a bigint"],
    ["internal", () => ({ type: "other" }), `at .type must be ${TAGS}, got string ("other")`],
    ["internal", () => ({ user: "x" }), `at .type must be ${TAGS}, got nothing`],
    ["internal", () => "login", "must be"],
    ["adjacent", () => ({ kind: "Wide", data: 1 }), "at .data must be a bigint"],
    ["external", () => ({ number: 1 }), "at .number must be a bigint"],
    ["external", () => ({ other: 1 }), 'must be "empty" or { number } or { pair } or { named }'],
    ["untagged", () => ({ from: 1, to: 2 }), "at .from must be a bigint"],
    ["envelope", () => ({ sequence: 1n, type: "none" }), `at .type must be ${TAGS}`],
    [
      "strict",
      () => ({ only: 1, more: 2 }),
      'must be an object with only "only", got the property "more"',
    ],
    ["int_map", () => ({ x: "a" }), 'with integers as keys, got the key "x"'],
    [
      "uint_map",
      () => ({ 300: 1n }),
      'was refused by the guest: invalid type: string "300", expected u8',
    ],
    ["char_map", () => ({ ab: true }), "was refused by the guest: invalid value"],
    ["address", () => "nowhere", "was refused by the guest: invalid IP address syntax"],
    ["json", () => 2n ** 70n, "was refused by the guest"],
    ["json", () => new Uint8Array(1), "was refused by the guest"],
  ];

  test.each(WRONG.map(([name, make, message]) => ({ name, make, message })))(
    "echo_$name refuses it: $message",
    async ({ name, make, message }) => {
      const failure = await failureOf(() => echo(name, make()));
      expect(failure["message"]).toContain(message);
      expect(failure["code"]).toBe("ERR_AMPOULE_ARGUMENT");
      expect(failure["details"]).toEqual({ function: `echo_${name}`, parameter: "value" });
      expect(sandbox.state).toBe("ready");
    },
  );

  test("code of the caller's that fails while arguments are read is the cause", async () => {
    const cause = new RangeError("own");
    const value = {
      get a(): never {
        throw cause;
      },
    };
    const failure = await failureOf(() => echo("json", value));
    expect(failure).toMatchObject({ code: "ERR_AMPOULE_ARGUMENT", cause });
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    expect(await failureOf(() => echo("map", proxy))).toMatchObject({
      code: "ERR_AMPOULE_ARGUMENT",
    });
  });

  test("memory that was transferred is not sent as nothing", async () => {
    const bytes = new Uint8Array(8);
    structuredClone(bytes, { transfer: [bytes.buffer] });
    const failure = await failureOf(() => echo("bytes", bytes));
    expect(failure["message"]).toContain("a buffer that was transferred");
  });

  test("long and strange names stay short in messages", async () => {
    const name = "\u{1f388}".repeat(1000);
    const failure = await failureOf(() => echo("strict", { only: 1, [name]: 1 }));
    const message = failure["message"] as string;
    expect(message.length).toBeLessThan(400);
    expect(message.isWellFormed()).toBe(true);
  });

  test("arguments of too many items are refused before they are sent", async () => {
    const list = Array.from({ length: 250_000 }, () => 1);
    const failure = await failureOf(() => echo("list", list));
    expect(failure).toMatchObject({
      code: "ERR_AMPOULE_ITEM_LIMIT",
      option: "limits.items",
      limit: 250_000,
    });
    expect(sandbox.state).toBe("ready");
    // The list of arguments and the list itself count as well.
    expect(echo("list", list.slice(2))).toHaveLength(249_998);
  });
});

describeWithKvm("items that a guest sends", () => {
  test("are counted before they are decoded, in results and errors", async () => {
    for (const name of ["repeat_declared", "fail_declared"]) {
      const sandbox = await Sandbox.create({ guest: rustGuest("values"), limits: { items: 1000 } });
      const failure = await failureOf(() => sync(sandbox, name)({}, 1000));
      expect(failure).toMatchObject({
        code: "ERR_AMPOULE_ITEM_LIMIT",
        option: "limits.items",
        limit: 1000,
      });
      expect(failure["message"]).toContain("more than 1000 items; raise `limits.items`");
      expect(sandbox.state).toBe("poisoned");
      await sandbox.close();
    }
  });

  test("may be more where the option says so, also in what comes from a snapshot", async () => {
    const sandbox = await Sandbox.create({
      guest: rustGuest("values"),
      limits: { items: 400_000 },
    });
    expect(await sandbox.call["repeat_declared"]?.(0, 300_000)).toHaveLength(300_000);
    const fork = await sandbox.fork();
    expect(await fork.call["repeat_declared"]?.(0, 300_000)).toHaveLength(300_000);
    using snapshot = await sandbox.snapshot();
    const strict = await Sandbox.create({ snapshot, limits: { items: 16 } });
    const failure = await failureOf(() => strict.call["repeat_declared"]?.(0, 16));
    expect(failure["code"]).toBe("ERR_AMPOULE_ITEM_LIMIT");
    await Promise.all([sandbox, fork, strict].map((each) => each.close()));
  });

  test.each([15, 4_000_001, 1.5, "10", Number.NaN])("cannot be limited to %p", async (items) => {
    const limits = { items: items as number };
    const failure = await failureOf(() => Sandbox.create({ guest: rustGuest("values"), limits }));
    expect(failure["code"]).toBe("ERR_AMPOULE_INVALID_ARGUMENT");
    expect(failure["message"]).toContain("limits.items must be an integer between 16 and 4000000");
  });

  test("an error of a guest's own is an error, whatever its kind is", async () => {
    const sandbox = await Sandbox.create({ guest: rustGuest("values") });
    const failure = await failureOf(() => sync(sandbox, "fail_declared")(1, 2));
    expect(failure).toBeInstanceOf(GuestError);
    expect(failure["data"]).toEqual([1, 1]);
    await sandbox.close();
  });
});
