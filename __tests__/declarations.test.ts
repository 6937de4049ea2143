/** `ampoule types`: what it writes compiles, and makes wrong calls fail to compile. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import ts from "typescript";
import { declareGuest, type FunctionDescription, type GuestInterface } from "../ts/index.js";
import { testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

function guest(
  functions: FunctionDescription[],
  imports: FunctionDescription[] = [],
): GuestInterface {
  const about = { abiVersion: "1.0", sdk: "test", sdkVersion: "1", buildId: "" };
  return { ...about, exports: functions, imports };
}

function returning(result: unknown, name = "f"): GuestInterface {
  return guest([{ name, documentation: null, parameters: [], result: result as boolean }]);
}

/** Compiles with `tsc --strict`, as a user's project would, and returns the messages. */
function compile(files: Readonly<Record<string, string>>): string[] {
  const folder = mkdtempSync(join(tmpdir(), "ampoule-types-"));
  try {
    mkdirSync(join(folder, "node_modules/@types"), { recursive: true });
    symlinkSync(ROOT, join(folder, "node_modules/ampoule"));
    symlinkSync(join(ROOT, "node_modules/@types/node"), join(folder, "node_modules/@types/node"));
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const program = ts.createProgram(
      Object.keys(files).map((name) => join(folder, name)),
      {
        strict: true,
        exactOptionalPropertyTypes: true,
        noEmit: true,
        skipLibCheck: false,
        target: ts.ScriptTarget.ES2022,
        lib: ["lib.es2023.d.ts", "lib.esnext.disposable.d.ts"],
        module: ts.ModuleKind.NodeNext,
        moduleResolution: ts.ModuleResolutionKind.NodeNext,
        types: ["node"],
        typeRoots: [join(folder, "node_modules/@types")],
      },
    );
    return ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
      const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start ?? 0).line + 1;
      const name = file?.fileName.slice(folder.length + 1) ?? "";
      return `${name}:${line}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`;
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describeWithKvm("declarations of a real guest", () => {
  let declarations = "";

  beforeAll(async () => {
    const sandbox = await testing();
    declarations = declareGuest(sandbox.interface, { name: "testing" });
    await sandbox.close();
  });

  const HEAD = `
    import { Pool, Sandbox, type HostFunctions } from "ampoule";
    import type { Testing } from "./testing.js";
    declare const hostFunctions: HostFunctions<Testing>;
    const sandbox = await Sandbox.create<Testing>({ guest: "x", hostFunctions });
    const { call, callSync } = sandbox;
    declare const pool: Pool<Testing>;
  `;

  test("snapshots carry them along", () => {
    const code = `
      import { Sandbox, Snapshot, type HostFunctions } from "ampoule";
      import type { Testing } from "./testing.js";
      declare const hostFunctions: HostFunctions<Testing>;
      const sandbox = await Sandbox.create<Testing>({ guest: "x", hostFunctions });
      const snapshot: Snapshot<Testing> = await sandbox.snapshot();
      const other = await Sandbox.create({ snapshot, hostFunctions, restore: "after-call" });
      const sum: number = other.callSync.add(1, 2);
      const fork = await other.fork({ name: "f", limits: { timeoutMs: 5 }, hostFunctions });
      const later: Promise<number> = fork.call.add(1, 2);
      await fork.restore(Snapshot.open<Testing>(snapshot.id));
      fork.restoreSync(snapshot);
      using again = Snapshot.open(1);
    `;
    expect(compile({ "testing.d.ts": declarations, "use.ts": code })).toEqual([]);
    const wrong = `
      import { Sandbox, Snapshot } from "ampoule";
      import type { Testing } from "./testing.js";
      declare const snapshot: Snapshot<Testing>;
      await Sandbox.create({ snapshot });
      await Sandbox.create<Testing>({ snapshot, memory: "1MiB", hostFunctions: {} as never });
      await Sandbox.create<Testing>({ snapshot, guest: "x", hostFunctions: {} as never });
      new Snapshot(1);
    `;
    const lines = compile({ "testing.d.ts": declarations, "use.ts": wrong });
    expect(lines.map((line) => line.split(":")[1])).toEqual(["5", "6", "7", "8"]);
  });

  test("right uses compile", () => {
    const code = `${HEAD}
      const sum: number = callSync.add(1, 2);
      const later: Promise<number> = call.add(1, 2, { timeoutMs: 5, signal: AbortSignal.abort() });
      const big: bigint = callSync.echo_i64(5n);
      const bytes: Uint8Array = callSync.echo_bytes(new Uint8Array());
      const some: string | null = callSync.echo_option(null);
      const nothing: void = callSync.nothing();
      const shape = callSync.echo_enum({ circle: { center: { x: 1, y: 2 }, radius: 3 } });
      if (shape !== "empty" && "dot" in shape) shape.dot.x.toFixed();
      const functions: HostFunctions<Testing> = {
        fetch_number: async (id) => id * 2,
        fetch_user: (id) => (id === 1 ? { id, name: "Ada" } : null),
        log_line: (line) => { line.toUpperCase(); },
        transform: (bytes) => bytes.slice(),
        describe_values: (number, float, shape, optional, bytes) => String(number + 1n),
      };
      await using other = await Sandbox.create<Testing>({ guest: "x", hostFunctions: functions });
      const size = { min: 1, max: 4 };
      await using own = await Pool.create<Testing>({ guest: "x", hostFunctions, size, idleMs: 5 });
      const pooled: number = await own.call.add(1, 2, { timeoutMs: 5 });
      const snapshot = await sandbox.snapshot();
      const fromSnapshot: Pool<Testing> = await Pool.create({ snapshot, hostFunctions, size: 3 });
      using lease = await pool.acquire({ signal: AbortSignal.abort() });
      const leased: number = lease.sandbox.callSync.add(1, 2);
      const untyped = await Sandbox.create({ guest: "x" });
      const unknown: Promise<unknown> = untyped.call.anything(1, "two");
    `;
    expect(compile({ "testing.d.ts": declarations, "main.ts": code })).toEqual([]);
  });

  test("codes narrow errors to their classes and details", () => {
    const right = `${HEAD}
      import { type ErrorOf, isAmpouleError } from "ampoule";
      declare const error: unknown;
      if (isAmpouleError(error)) {
        switch (error.code) {
          case "ERR_AMPOULE_GUEST_FAULT": { const text: string = error.fault.fault; break; }
          case "ERR_AMPOULE_GUEST_ERROR": { const kind: string = error.kind; break; }
          case "ERR_AMPOULE_TIMEOUT": { const ms: number = error.details.limitMs; break; }
          case "ERR_AMPOULE_UNKNOWN_FUNCTION": { const names: readonly string[] = error.details.exports; break; }
          default: { const message: string = error.message; }
        }
      }
      if (isAmpouleError(error, "ERR_AMPOULE_GUEST_EXITED")) error.exitCode?.toFixed();
      if (isAmpouleError(error, "ERR_AMPOULE_TIMEOUT", "ERR_AMPOULE_CPU_TIME")) {
        const ms: number = error.details.limitMs;
        const code: "ERR_AMPOULE_TIMEOUT" | "ERR_AMPOULE_CPU_TIME" = error.code;
      }
      const fault = (given: ErrorOf<"ERR_AMPOULE_GUEST_FAULT">): string => given.fault.fault;
      const sum: Promise<number> = sandbox.invoke("add", 1, 2, { timeoutMs: 5 });
      const now: number = sandbox.invokeSync("add", 1, 2);
      const pooled: Promise<number> = pool.invoke("add", 1, 2);
      await Sandbox.create<Testing>({ guest: "x", hostFunctions, stdout: "print",
        files: { "/a": "text", "/b": { path: "x" }, "/c": new URL("file:///x"), "/d": new Uint8Array() } });
    `;
    expect(compile({ "testing.d.ts": declarations, "main.ts": right })).toEqual([]);
    const wrong = [
      'if (isAmpouleError(error) && error.code === "ERR_AMPOULE_GUEST_FAULT") error.kind;',
      'isAmpouleError(error, "ERR_AMPOULE");',
      'await sandbox.invoke("add", "1", 2);',
      'await sandbox.invoke("ad", 1, 2);',
      'await Sandbox.create<Testing>({ guest: { path: "x" }, hostFunctions });',
      'await Sandbox.create<Testing>({ guest: "x", hostFunctions, files: { "/a": 5 } });',
    ];
    const head = `${HEAD} import { isAmpouleError } from "ampoule"; declare const error: unknown;`;
    const code = [head.trim().replaceAll(/\n\s*/g, " "), ...wrong.map((line) => `{ ${line} }`)];
    const errors = compile({ "testing.d.ts": declarations, "main.ts": code.join("\n") });
    const failing = new Set(errors.map((each) => Number(/^main\.ts:(\d+)/.exec(each)?.[1])));
    expect([...failing].sort((a, b) => a - b)).toEqual(wrong.map((_, index) => index + 2));
  });

  const WRONG = [
    'callSync.add("1", 2);',
    "callSync.add(1);",
    "callSync.add(1, 2, 3);",
    "callSync.ad(1, 2);",
    "call.add(1, 2, { timeout: 5 });",
    "callSync.echo_i64(5);",
    "callSync.echo_i32(5n);",
    "callSync.echo_bytes([1, 2]);",
    'callSync.echo_enum("square");',
    "callSync.echo_struct({ x: 1 });",
    "const text: string = callSync.add(1, 2);",
    "const sum: number = call.add(1, 2);",
    'await Sandbox.create<Testing>({ guest: "x" });',
    'await Sandbox.create<Testing>({ guest: "x", hostFunctions: {} });',
    'const f: HostFunctions<Testing> = { ...hostFunctions, fetch_number: () => "two" };',
    "const f: HostFunctions<Testing> = { ...hostFunctions, fetch_number: (id: string) => 1 };",
    'await Sandbox.create<Testing>({ guest: "x", hostFunctions, memory: "16MB" });',
    'await pool.call.add("1", 2);',
    "pool.callSync;",
    "(await pool.acquire()).sandbox.close();",
    'await Pool.create<Testing>({ guest: "x" });',
    'await Pool.create<Testing>({ guest: "x", hostFunctions, restore: "after-call" });',
    'await Pool.create<Testing>({ guest: "x", hostFunctions, whenFull: "never" });',
  ];

  test("wrong uses do not", () => {
    // All in one program, since that is what takes the time: each line must have its error.
    const lines = WRONG.map((line) => `{ ${line} }`);
    const code = [HEAD.trim().replaceAll(/\n\s*/g, " "), ...lines].join("\n");
    const errors = compile({ "testing.d.ts": declarations, "main.ts": code });
    const failing = new Set(errors.map((error) => Number(/^main\.ts:(\d+)/.exec(error)?.[1])));
    expect([...failing].sort((a, b) => a - b)).toEqual(WRONG.map((_, index) => index + 2));
  });
});

test("names and texts of a guest cannot leave their place", () => {
  const evil = 'a: string } }\nimport "fs"; export const x = `1`; //';
  const text = declareGuest(
    guest([
      {
        name: "f",
        documentation: `*/ ${evil} /*`,
        parameters: [
          {
            name: "class",
            schema: {
              $ref: "#/$defs/e*/vil",
              $defs: {
                "e*/vil": {
                  type: "object",
                  properties: { [evil]: { const: evil }, ["__proto__"]: true },
                },
              },
            },
          },
        ],
        result: { type: "object", description: "line\u2028*/ end" },
      },
    ]),
    { name: evil },
  );
  expect(compile({ "evil.d.ts": text })).toEqual([]);
  expect(text).not.toMatch(/^import/m);
});

test("recursive types, tuples, maps and unions are declared", () => {
  const tree = {
    title: "Tree",
    type: "object",
    properties: {
      children: { type: "array", items: { $ref: "#" } },
      label: { type: ["string", "null"] },
    },
    required: ["children", "label"],
  };
  expect(declareGuest(returning(tree))).toContain(
    "export type Tree = {\n  children: Tree[];\n  label: string | null;\n};",
  );
  const types: [unknown, string][] = [
    [{ type: "array", prefixItems: [{ type: "string" }, true], maxItems: 2 }, "[string, unknown]"],
    [
      { type: "array", items: { type: "number" }, minItems: 3, maxItems: 3 },
      "[number, number, number]",
    ],
    [
      { type: "object", additionalProperties: { type: "integer", format: "uint64" } },
      "Record<string, bigint>",
    ],
    [{ enum: ["a", "b", 3, null] }, '"a" | "b" | 3 | null'],
    [{ type: "string", contentEncoding: "bytes" }, "Uint8Array<ArrayBuffer>"],
    [true, "unknown"],
    [false, "never"],
    [{}, "unknown"],
  ];
  for (const [schema, type] of types) {
    expect(declareGuest(returning(schema))).toContain(`f(): ${type};`);
  }
});

test("a type that is given otherwise than it is received is declared twice, and only then", () => {
  const named = (title: string, properties: object, required: string[]): object => ({
    title,
    type: "object",
    properties,
    required,
  });
  const nullable = { type: ["integer", "null"], format: "int32" };
  const echo = (name: string, given: unknown, received: unknown): FunctionDescription => ({
    name,
    documentation: null,
    parameters: [{ name: "value", schema: given as boolean }],
    result: received as boolean,
  });
  const item = (required: string[]): object => named("Item", { count: nullable }, required);
  const same = named("Same", { id: { type: "integer" } }, ["id"]);
  const inner = (required: string[]): object => ({
    ...named("Outer", { item: { $ref: "#/$defs/Item" } }, ["item"]),
    $defs: { Item: item(required) },
  });
  const other = named("Item", { text: { type: "string" } }, ["text"]);
  const text = declareGuest(
    guest([
      echo("given_only", named("Given", { map: { type: "object" } }, ["map"]), true),
      echo("item", item([]), item(["count"])),
      echo("item_again", item([]), item(["count"])),
      echo("other", other, other),
      echo("outer", inner([]), inner(["count"])),
      echo("record", same, named("Record", { a: true }, ["a"])),
      echo("record_", same, named("Record_", { b: true }, ["b"])),
      echo("same", same, same),
    ]),
  );
  const declared = [...text.matchAll(/export type (\w+) =/g)].map(([, name]) => name);
  expect(declared).toEqual([
    "Given",
    "Item",
    "Item2",
    "ItemInput",
    "Outer",
    "OuterInput",
    "RecordType",
    "Record_",
    "Same",
  ]);
  expect(text).toContain("item(value: ItemInput): Item;");
  expect(text).toContain("item_again(value: ItemInput): Item;");
  expect(text).toContain("other(value: Item2): Item2;");
  expect(text).toContain("outer(value: OuterInput): Outer;");
  expect(text).toContain("export type OuterInput = { item: ItemInput; };");
  expect(text).toContain("same(value: Same): Same;");
  expect(compile({ "guest.d.ts": text })).toEqual([]);
});

test("schemas that are no types are refused", () => {
  const deep = { type: "array" } as Record<string, unknown>;
  let inner = deep;
  for (let level = 0; level < 100; level++) {
    const next = { type: "array" };
    inner["items"] = next;
    inner = next;
  }
  const wrong: [unknown, string][] = [
    [{ $ref: "#/$defs/none" }, 'refers to "none", which is not defined'],
    [{ $ref: "https://example.com/schema" }, "has a reference to elsewhere"],
    [{ $ref: "#/$defs/A", $defs: { A: { $ref: "#/$defs/A" } } }, 'defines "A" by itself'],
    [{ type: "strange" }, 'has the unknown type "strange"'],
    [deep, "is nested more than 64 levels deep"],
    [{ anyOf: Array(60_000).fill({ type: "null" }) }, "has more than 50000 parts"],
    [{ enum: Array.from(Array(30_000).keys()) }, "has more than 20000 constants"],
    [null, "neither object nor boolean"],
  ];
  for (const [schema, message] of wrong) {
    expect(() => declareGuest(returning(schema))).toThrow(message);
  }
});

afterAll(() => {
  // The compiler's caches of this file are large; nothing later needs them.
  (globalThis as { gc?: () => void }).gc?.();
});
