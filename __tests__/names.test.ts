/** Functions of a guest whose names mean something to JavaScript, to Node.js or to test tools. */
import { format, inspect } from "node:util";
import { afterAll, beforeAll, expect, jest, test } from "@jest/globals";
import * as ampoule from "../ts/index.js";
import { type Lease, Pool, run, Sandbox } from "../ts/index.js";
import { BUSYBOX, failureOf, rustGuest, sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";

type Functions = Readonly<Record<string, (...args: unknown[]) => unknown>>;

const guest = rustGuest("names");
const hostFunctions = { toString: (value: number) => `number ${value}` };

/** What the language's own objects have, and what tools look for. */
const NAMES = [
  ...new Set(
    [Object, Function, Promise, Array, Map, Error, URL].flatMap((each) =>
      Object.getOwnPropertyNames(each.prototype),
    ),
  ),
  ..."toJSON toBSON asymmetricMatch $$typeof nodeType tagName inspect href".split(" "),
];

describeWithKvm("names of a guest", () => {
  let sandbox: Sandbox;
  let pool: Pool;
  let lease: Lease;
  const tables: [string, () => Functions][] = [
    ["sandbox.call", () => sandbox.call],
    ["sandbox.callSync", () => sandbox.callSync],
    ["pool.call", () => pool.call],
    ["lease.sandbox.call", () => lease.sandbox.call],
    ["lease.sandbox.callSync", () => lease.sandbox.callSync],
  ];
  const calls = (): number =>
    sandbox.statistics.calls + lease.sandbox.statistics.calls + pool.statistics.calls;

  beforeAll(async () => {
    sandbox = await Sandbox.create({ guest, hostFunctions });
    pool = await Pool.create({ guest, hostFunctions, size: 2 });
    lease = await pool.acquire();
  });
  afterAll(async () => {
    lease.release();
    await pool.close();
    await sandbox.close();
  });

  test.each(tables)("mean nothing in %s, whatever is done with it", async (_, get) => {
    const table = get();
    const before = calls();
    expect(await table).toBe(table);
    expect(await (async () => table)()).toBe(table);
    expect(await Promise.all([table, Promise.resolve(table)])).toEqual([table, table]);
    for (const text of [String(table), `${table}`, inspect(table), format("%s %o", table, table)]) {
      expect(text).toContain("[functions of a guest: __defineGetter__, ");
    }
    expect(inspect({ table }, { showProxy: true, showHidden: true })).toContain("table");
    expect(inspect(table, { customInspect: false, getters: true })).toEqual(expect.any(String));
    expect(JSON.parse(JSON.stringify({ table }))).toEqual({ table: {} });
    expect(() => structuredClone(table)).toThrow("could not be cloned");
    expect(table).not.toEqual({ something: 1 });
    expect({ table }).toEqual({ table });
    expect([table].join()).toContain("[functions of a guest");
    expect(Object.prototype.toString.call(table)).toBe("[object Object]");
    expect(calls()).toBe(before);
  });

  test.each(tables)("are those of the guest's functions in %s, or of nothing", async (_, get) => {
    const table = get();
    expect(String(table["toString"]?.())).toContain("[functions of a guest: ");
    for (const name of NAMES.filter((each) => each !== "toString")) {
      const isExport = sandbox.interface.exports.some((each) => each.name === name);
      if (isExport && name in table) expect(typeof table[name]).toBe("function");
      else expect([name, table[name]]).toEqual([name, undefined]);
    }
    for (const name of ["then", "catch", "map", "on"]) expect(await table[name]?.(1)).toBe(2);
    expect(await table["href"]?.()).toBe("href");
    expect(Object.keys(table)).toEqual(expect.arrayContaining(["then", "catch", "name", "length"]));
    expect(Object.keys({ ...table })).toEqual(Object.keys(table));
  });

  test("can all be called by invoke", async () => {
    for (const { name, parameters } of sandbox.interface.exports) {
      const [first] = parameters;
      const isNumber = JSON.stringify(first?.schema ?? "").includes("integer");
      const args = first === undefined ? [] : [isNumber ? 4 : "four"];
      const result = name === "ask" ? "number 4" : isNumber ? 5 : (args[0] ?? name);
      expect([name, sandbox.invokeSync(name, ...args)]).toEqual([name, result]);
      expect([name, await sandbox.invoke(name, ...args)]).toEqual([name, result]);
      expect([name, await pool.invoke(name, ...args)]).toEqual([name, result]);
      expect([name, await lease.sandbox.invoke(name, ...args)]).toEqual([name, result]);
      expect([name, lease.sandbox.invokeSync(name, ...args)]).toEqual([name, result]);
    }
    for (const name of ["toString", "nope"]) {
      const failure = await failureOf(() => sandbox.invoke(name));
      expect(failure).toMatchObject({
        code: "ERR_AMPOULE_UNKNOWN_FUNCTION",
        details: { function: name },
      });
    }
    const wrong = await failureOf(() => sandbox.invoke(5 as unknown as string));
    expect(wrong["code"]).toBe("ERR_AMPOULE_INVALID_ARGUMENT");
  });

  test("that it does not export are functions that say so when they are called", async () => {
    expect("typo" in sandbox.call).toBe(false);
    const promise = sandbox.call["typo"]?.();
    await expect(promise).rejects.toMatchObject({ code: "ERR_AMPOULE_UNKNOWN_FUNCTION" });
    expect(() => sandbox.callSync["typo"]?.()).toThrow(
      'exports no function "typo"; it exports __defineGetter__,',
    );
  });

  test("a host function is not found on every object", async () => {
    const failure = await failureOf(() => Sandbox.create({ guest, hostFunctions: {} }));
    expect(failure).toMatchObject({
      code: "ERR_AMPOULE_MISSING_HOST_FUNCTION",
      details: { missing: ["toString"] },
    });
  });

  test("a host function that is not imported is told of, once", async () => {
    const warn = jest.spyOn(process, "emitWarning").mockImplementation(() => {});
    try {
      for (let round = 0; round < 3; round++) {
        const functions = { ...hostFunctions, tostring: () => "" };
        const typo = await Sandbox.create({ guest, hostFunctions: functions, name: "typo" });
        await typo.close();
      }
      expect(warn.mock.calls).toEqual([
        [
          'the guest of sandbox "typo" does not import tostring; it imports toString',
          { type: "AmpouleWarning", code: "AMPOULE_UNUSED_HOST_FUNCTION" },
        ],
      ]);
    } finally {
      warn.mockRestore();
    }
  });

  test("of variables and files are only names, too", async () => {
    const odd = ["__proto__", "constructor", "toString", "then", "hasOwnProperty"];
    const values = Object.fromEntries(odd.map((name) => [name, `value of ${name}`]));
    const files = Object.fromEntries(odd.map((name) => [`/${name}`, `file ${name}`]));
    const other = await testing({ env: values, files });
    for (const name of odd) {
      expect(sync(other, "env")(name)).toBe(`value of ${name}`);
      const read = sync(other, "read_file")(`/${name}`) as Uint8Array;
      expect(Buffer.from(read).toString()).toBe(`file ${name}`);
    }
    const empty = await testing({ env: {}, files: {} });
    for (const name of odd) expect(sync(empty, "env")(name)).toBeNull();
  });

  test("everything that the package exports can be printed", () => {
    for (const [name, each] of Object.entries(ampoule)) {
      expect([name, format("%s %o %j", each, each, each)]).toEqual([name, expect.any(String)]);
      expect([name, inspect(each, { depth: 9, getters: true })]).toEqual([
        name,
        expect.any(String),
      ]);
    }
  });

  test("what is printed of our objects is short and has no part of a guest's in it", async () => {
    using snapshot = await sandbox.snapshot();
    const result = await run(BUSYBOX, { args: ["true"] });
    const shown = [sandbox, pool, lease, lease.sandbox, snapshot].map((each) => inspect(each));
    expect(shown).toEqual([
      `Sandbox { name: 'names', id: ${sandbox.id}, state: 'ready' }`,
      "Pool { name: 'names', size: 2, idle: 1, busy: 1, queued: 0 }",
      "Lease { sandbox: 'names', released: false }",
      "LeasedSandbox { name: 'names', state: 'ready' }",
      expect.stringMatching(
        /^Snapshot \{ name: 'names', id: \d+, memory: '.*MiB', closed: false \}$/,
      ),
    ]);
    expect(inspect(result)).toContain("exitCode: 0");
    expect(inspect(sandbox.statistics)).toContain("calls");
    expect(inspect(sandbox.interface)).toContain("exports");
    for (const each of [sandbox, pool, lease, snapshot]) JSON.stringify(each);
  });

  test("counters by name have no names but those", () => {
    const { systemCalls } = sandbox.statistics;
    expect(systemCalls["constructor"]).toBeUndefined();
    expect(systemCalls["mmap"] ?? systemCalls["brk"]).toBeGreaterThanOrEqual(0);
  });
});
