/** Every public function, and every option of theirs, with values that it does not take. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
// tidy: sleep: a turn of the event loop, which takes no time.
import { setImmediate as turn } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import * as ampoule from "../ts/index.js";
import {
  AmpouleError,
  declareGuest,
  errorFromJson,
  inspectExecutable,
  inspectStore,
  isAmpouleError,
  type Lease,
  Pool,
  pruneStore,
  run,
  Sandbox,
  Snapshot,
  verifyStore,
} from "../ts/index.js";
import { BUSYBOX, HOST_FUNCTIONS, rustGuest } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";

const revoked = (): object => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};
const throwing = (): object =>
  new Proxy(
    {},
    {
      get: () => {
        throw new Error("no");
      },
      ownKeys: () => {
        throw new Error("no");
      },
      has: () => {
        throw new Error("no");
      },
      getPrototypeOf: () => {
        throw new Error("no");
      },
      getOwnPropertyDescriptor: () => {
        throw new Error("no");
      },
    },
  );

/** What is given where it does not belong. */
const VALUES: Readonly<Record<string, () => unknown>> = {
  null: () => null,
  "a boolean": () => true,
  zero: () => 0,
  "a negative number": () => -1.5,
  NaN: () => Number.NaN,
  "a bigint": () => 10n,
  "an empty string": () => "",
  "a string": () => "nonsense",
  "a string with NUL": () => "a\0b",
  "a symbol": () => Symbol("s"),
  "a function": () => () => {},
  "an empty object": () => ({}),
  "an unknown key": () => ({ nonsense: 1 }),
  "a key with a symbol": () => ({ name: Symbol("s"), "/x": Symbol("s") }),
  "an array": () => [Symbol("s")],
  "a date": () => new Date(0),
  bytes: () => new Uint8Array([1, 2, 3]),
  "a web URL": () => new URL("https://example.com/x"),
  "a revoked proxy": revoked,
  "an object that throws": throwing,
  "a function that throws": () =>
    new Proxy(() => {}, {
      get: () => {
        throw new Error("no");
      },
    }),
  "an object without a prototype": () => Object.create(null),
};

const guest = rustGuest("testing");
const base = { guest, hostFunctions: HOST_FUNCTIONS, stdout: "ignore", stderr: "ignore" } as const;

type Act = (value: never) => unknown;
type Acts = Readonly<Record<string, Act>>;

let sandbox: Sandbox;
let snapshot: Snapshot;
let pool: Pool;
let folder = "";
const opened: (() => unknown)[] = [];

/** Closes what a call has made, if the value was one that it takes. */
function made<T>(result: T): T {
  if (result instanceof Sandbox || result instanceof Pool) opened.push(() => result.close());
  if (result instanceof Object && "release" in result)
    opened.push(() => (result as unknown as Lease).release());
  if (result instanceof Snapshot) opened.push(() => result.close());
  return result;
}

const CREATE = [
  ..."guest snapshot hostFunctions stdout stderr restore trace onLog memory limits args env".split(
    " ",
  ),
  ..."files stdin name signal".split(" "),
];
const LIMITS = "timeoutMs cpuTimeMs message stack output hostCalls depth trace".split(" ");

function options(keys: readonly string[], act: (options: never) => unknown, more: object): Acts {
  return Object.fromEntries(
    keys.map((key) => [key, (value: unknown) => act({ ...more, [key]: value } as never)]),
  );
}

const inFiles = (value: unknown): object => ({ ...base, files: { "/x": value } });
const ACTS: Readonly<Record<string, Acts>> = {
  run: {
    executable: (value) => run(value),
    options: (value) => run(BUSYBOX, value),
    ...options(
      "stdout stderr memory limits args env files stdin name signal".split(" "),
      (given) => run(BUSYBOX, given),
      { args: ["true"] },
    ),
  },
  "Sandbox.create": {
    options: (value) => Sandbox.create(value),
    ...options(CREATE, (given) => Sandbox.create(given), base),
    "files[]": (value) => Sandbox.create(inFiles(value) as never),
    "files[].path": (value) => Sandbox.create(inFiles({ path: value }) as never),
    "env[]": (value) => Sandbox.create({ ...base, env: { A: value } }),
    "args[]": (value) => Sandbox.create({ ...base, args: [value] }),
    "hostFunctions[]": (value) =>
      Sandbox.create({ ...base, hostFunctions: { ...HOST_FUNCTIONS, fetch_number: value } }),
  },
  "Sandbox.create with limits": options(
    LIMITS,
    (limits) => Sandbox.create({ ...base, limits } as never),
    {},
  ),
  "Sandbox.create with a snapshot": {
    snapshot: (value) => Sandbox.create({ ...base, guest: undefined, snapshot: value } as never),
  },
  sandbox: {
    "Sandbox.kill": (value) => Sandbox.kill(value),
    fork: (value) => sandbox.fork(value),
    "fork({ limits })": (value) => sandbox.fork({ limits: value }),
    restore: (value) => sandbox.restore(value),
    restoreSync: (value) => sandbox.restoreSync(value),
    "invoke's name": (value) => sandbox.invoke(value),
    "invokeSync's name": (value) => sandbox.invokeSync(value),
    "call's first argument": (value) => sandbox.call["add"]?.(value, 1),
    "callSync's first argument": (value) => sandbox.callSync["add"]?.(value, 1),
    "call's options": (value) => sandbox.call["add"]?.(1, 1, value),
    "callSync's options": (value) => sandbox.callSync["add"]?.(1, 1, value),
  },
  "options of a call": options(
    ["timeoutMs", "cpuTimeMs", "signal", "trace"],
    (given) => sandbox.call["add"]?.(1, 1, given),
    {},
  ),
  "options of a synchronous call": options(
    ["timeoutMs", "cpuTimeMs", "signal", "trace"],
    (given) => sandbox.callSync["add"]?.(1, 1, given),
    {},
  ),
  Pool: {
    options: (value) => Pool.create(value),
    "acquire's options": (value) => pool.acquire(value),
    "acquire({ signal })": (value) => pool.acquire({ signal: value }),
    "invoke's name": (value) => pool.invoke(value),
    "call's options": (value) => pool.call["add"]?.(1, 1, value),
    "close({ force })": async (value) => {
      const own = made(await Pool.create({ ...base, size: 1 }));
      await own.close({ force: value });
    },
  },
  "Pool.create": options(
    [..."size maxQueue whenFull idleMs guest limits signal stdin restore".split(" ")],
    (given) => Pool.create(given),
    { ...base, size: { min: 0, max: 1 } },
  ),
  "Pool.create with a size": options(
    ["min", "max"],
    (size) => Pool.create({ ...base, size } as never),
    {},
  ),
  Snapshot: {
    open: (value) => Snapshot.open(value),
    "load's path": (value) => Snapshot.load(value),
    "load's options": (value) => Snapshot.load(join(folder, "none"), value),
    ...options(
      ["tag", "verify", "signal"],
      (given) => Snapshot.load(join(folder, "none"), given),
      {},
    ),
    "save's path": (value) =>
      typeof value === "string" ? undefined : snapshot.save(value as never),
    "save's options": (value) => snapshot.save(join(folder, "store"), value),
  },
  "snapshot.save": options(
    ["tag", "metadata", "signal"],
    (given) => snapshot.save(join(folder, "store"), given),
    {},
  ),
  stores: Object.fromEntries(
    Object.entries({ inspectStore, verifyStore, pruneStore }).flatMap(([name, act]) => [
      [`${name}'s path`, (value: never) => act(value)],
      [`${name}'s options`, (value: never) => act(join(folder, "store"), value)],
      [`${name}({ signal })`, (value: never) => act(join(folder, "store"), { signal: value })],
    ]),
  ),
  "what runs nothing": {
    inspectExecutable: (value) => inspectExecutable(value),
    declareGuest: (value) => declareGuest(value),
    "declareGuest's options": (value) => declareGuest(sandbox.interface, value),
    "declareGuest({ name })": (value) => declareGuest(sandbox.interface, { name: value }),
    errorFromJson: (value) => errorFromJson(value),
    "errorFromJson({ code })": (value) =>
      errorFromJson({ name: "AmpouleError", code: value, message: "", details: {} }),
    isAmpouleError: (value) => isAmpouleError(value),
    "isAmpouleError's code": (value) => isAmpouleError(new Error("x"), value),
  },
  constructors: Object.fromEntries(
    Object.entries({ Sandbox, Pool, Snapshot }).map(([name, each]) => [
      name,
      (value: never) => new (each as unknown as new (value: never) => object)(value),
    ]),
  ),
};

describeWithKvm("misuse", () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "ampoule-misuse-"));
    sandbox = await Sandbox.create(base);
    snapshot = await sandbox.snapshot();
    pool = await Pool.create({ ...base, size: 1 });
    await snapshot.save(join(folder, "store"));
  });
  afterEach(async () => {
    // Jest fails a test in whose time a rejection is not handled.
    await turn();
    for (const close of opened.splice(0)) await close();
  });
  afterAll(async () => {
    await pool.close({ force: true });
    snapshot.close();
    await sandbox.close();
    rmSync(folder, { recursive: true });
  });

  for (const [of, acts] of Object.entries(ACTS)) {
    test.each(Object.entries(acts))(
      `of ${of}, %s: is told by errors of ours alone`,
      async (_, act) => {
        const told: unknown[] = [];
        for (const [what, make] of Object.entries(VALUES)) {
          try {
            made(await act(make() as never));
          } catch (error) {
            if (!(error instanceof AmpouleError)) told.push([what, error]);
            else if (/internal error|HYPERVISOR/.test(`${error.message} ${error.code}`)) {
              told.push([what, error.message]);
            } else if (error.message.length > 2000) told.push([what, error.message.length]);
          }
          for (const close of opened.splice(0)) await close();
        }
        expect(told).toEqual([]);
        expect(sandbox.state).toBe("ready");
      },
    );
  }

  test("what is wrong is said, and what to do", async () => {
    const cases: [() => unknown, string][] = [
      [
        () => new (Sandbox as unknown as new () => object)(),
        "a Sandbox is made by Sandbox.create()",
      ],
      [() => new (Pool as unknown as new () => object)(), "a Pool is made by Pool.create()"],
      [() => run(BUSYBOX, revoked()), "option options cannot be read"],
      [
        () => run(BUSYBOX, { files: { "/x": 5 as never } }),
        "a string or a Uint8Array with its contents",
      ],
      [() => inspectExecutable("x" as never), "option executable must be a Uint8Array"],
      [
        () => inspectStore(5n as never),
        "option path must be a path or a file URL, got bigint (5n)",
      ],
      [() => Sandbox.kill("x" as never), "option id must be the id of a sandbox"],
    ];
    for (const [act, message] of cases) {
      await expect((async () => act())()).rejects.toMatchObject({
        code: "ERR_AMPOULE_INVALID_ARGUMENT",
        message: expect.stringContaining(message),
      });
    }
  });

  test("every function that is exported is among those that are misused here", () => {
    const functions = Object.entries(ampoule).filter(([, each]) => typeof each === "function");
    const errors = functions.filter(
      ([name]) => name.endsWith("Error") && name !== "isAmpouleError",
    );
    const known = JSON.stringify(Object.entries(ACTS).map(([of, acts]) => [of, Object.keys(acts)]));
    for (const [name] of functions) {
      if (errors.some(([error]) => error === name) || name === "probe") continue;
      expect([name, known.includes(name)]).toEqual([name, true]);
    }
  });
});
