/**
 * Random types, random values of them, and everything else that a program can pass by mistake or malice.
 * A value comes back as it was, or is refused by an error that says so; nothing else may happen. Used by
 * `fuzz.test.ts` with a fixed seed, and by `scripts/campaigns/api.js` for as long as one likes.
 */
import { inspect, isDeepStrictEqual, types } from "node:util";

import { misuseOf, schemasOf } from "./fuzz-misuse.mjs";
import { typesOf } from "./fuzz-types.mjs";

/** Whether `got` is what was `given`, as far as a program that gave it could tell. */
export function isSame(got, given) {
  // Who owns the memory of bytes, and whether an object has a prototype, are no part of a value.
  return isDeepStrictEqual(plain(got), plain(given));
}

function plain(value) {
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) {
    return ArrayBuffer.isView(value)
      ? `bytes ${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("hex")}`
      : `bytes ${Buffer.from(value).toString("hex")}`;
  }
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return new Map(
    Object.keys(value)
      .sort()
      .map((key) => [key, plain(value[key])]),
  );
}

/**
 * The properties that hold, each with how often to look at it relative to the others.
 *
 * @param {import("fast-check")} fc
 * @param {typeof import("../../ts/index.js")} api
 * @param {string} guest the guest `values`
 */
export function propertiesOf(fc, api, guest) {
  const { AmpouleError, Sandbox, Pool, Snapshot } = api;
  const file = (schema) => Buffer.from(JSON.stringify(schema));
  const create = (argument, result) =>
    Sandbox.create({
      guest,
      limits: { timeoutMs: 20_000 },
      files: { "/argument.json": file(argument), "/result.json": file(result) },
    });
  const expectCode = (error, codes, what) => {
    if (error instanceof AmpouleError && codes.includes(error.code)) return;
    throw new Error(`${what}: unexpected ${error?.code ?? error?.name}`, { cause: error });
  };
  const REFUSALS = [
    "ERR_AMPOULE_ARGUMENT",
    "ERR_AMPOULE_ITEM_LIMIT",
    "ERR_AMPOULE_MESSAGE_TOO_LARGE",
  ];
  const declared = typesOf(fc);
  const misuse = misuseOf(fc);

  const roundTrip = fc.asyncProperty(
    declared.chain((type) =>
      fc.tuple(fc.constant(type), fc.array(type.values, { minLength: 1, maxLength: 8 })),
    ),
    async ([type, pairs]) => {
      const sandbox = await create(type.schema, type.schema);
      try {
        for (const [given, expected] of pairs) {
          for (const table of [sandbox.call, sandbox.callSync]) {
            const got = await table.echo_declared(given);
            // A function that gives `null` gives nothing.
            const wanted = expected === null && got === undefined ? undefined : expected;
            if (!isSame(got, wanted)) {
              const [, type] =
                /echo_declared\((.*)/.exec(api.declareGuest(sandbox.interface)) ?? [];
              throw new Error(`gave ${show(given)}, got ${show(got)} as ${type}`);
            }
          }
        }
      } finally {
        await sandbox.close();
      }
    },
  );

  const refusal = fc.asyncProperty(
    declared,
    fc.array(misuse, { minLength: 1, maxLength: 8 }),
    async (type, values) => {
      const sandbox = await create(type.schema, true);
      try {
        for (const { make } of values) {
          const value = make();
          const refused = (error) => expectCode(error, REFUSALS, show(value));
          await sandbox.call.echo_declared(value).catch(refused);
          // Of a type of which nothing is known everything comes back, or nothing was sent.
          await sandbox.call.send_declared(value).then((got) => {
            if (!isSame(got, untyped(value)))
              throw new Error(`gave ${show(value)}, got ${show(got)}`);
          }, refused);
          if (sandbox.state !== "ready") throw new Error(`left the sandbox ${sandbox.state}`);
        }
      } finally {
        await sandbox.close();
      }
    },
  );

  const results = fc.asyncProperty(
    declared,
    declared.chain(({ values }) => fc.array(values, { minLength: 1, maxLength: 8 })),
    async (type, pairs) => {
      const sandbox = await create(true, type.schema);
      try {
        for (const [given] of pairs) {
          await sandbox.call
            .send_declared(given)
            .catch((error) => expectCode(error, [...REFUSALS, "ERR_AMPOULE_RESULT"], "result"));
        }
      } finally {
        await sandbox.close();
      }
    },
  );

  const schemas = fc.asyncProperty(schemasOf(fc), misuse, async (schema, { make }) => {
    let sandbox;
    try {
      sandbox = await create(schema, schema);
    } catch (error) {
      expectCode(error, ["ERR_AMPOULE_INCOMPATIBLE_GUEST", "ERR_AMPOULE_PROTOCOL"], "interface");
      return;
    }
    try {
      api.declareGuest(sandbox.interface);
      await sandbox.call
        .echo_declared(make())
        .catch((error) => expectCode(error, [...REFUSALS, "ERR_AMPOULE_RESULT"], "any type"));
    } finally {
      await sandbox.close();
    }
  });

  let kinds;
  const rust = fc.asyncProperty(misuse, async ({ make }) => {
    kinds ??= await Sandbox.create({ guest });
    const value = make();
    for (const { name } of kinds.interface.exports) {
      if (!name.startsWith("echo_")) continue;
      await kinds.call[name](value).catch((error) => expectCode(error, REFUSALS, name));
      if (kinds.state !== "ready") throw new Error(`${name} left the sandbox ${kinds.state}`);
    }
  });

  let sandbox;
  let pool;
  const interfaces = fc.asyncProperty(
    fc.nat(),
    fc.array(misuse, { maxLength: 4 }),
    async (which, makers) => {
      const args = makers.map(({ make }) => make());
      sandbox ??= await Sandbox.create({ guest });
      pool ??= await Pool.create({ guest, size: 1 });
      const acts = {
        create: (options) => Sandbox.create(options),
        createOf: (options) => Sandbox.create({ guest, ...spread(options) }),
        limits: (limits) => Sandbox.create({ guest, limits }),
        files: (files) => Sandbox.create({ guest, files }),
        pool: (options) => Pool.create(options),
        poolOf: (size, maxQueue) => Pool.create({ guest, size, maxQueue }),
        run: (executable, options) => api.run(executable, options),
        open: (id) => Snapshot.open(id),
        load: (path, options) => Snapshot.load(path, options),
        kill: (id) => Sandbox.kill(id),
        inspect: (bytes) => api.inspectExecutable(bytes),
        declare: (from, options) => api.declareGuest(from, options),
        stores: (path) => api.inspectStore(path),
        fork: (options) => sandbox.fork(options),
        restore: (snapshot) => sandbox.restore(snapshot),
        restoreSync: (snapshot) => sandbox.restoreSync(snapshot),
        snapshot: (options) => sandbox.snapshot(options),
        acquire: (options) => pool.acquire(options),
        call: (...given) => sandbox.call.echo_i32(...given),
        callSync: (...given) => sandbox.callSync.echo_i32(...given),
        callWith: (options) => sandbox.call.echo_i32(1, options),
        poolCall: (...given) => pool.call.echo_i32(...given),
      };
      const names = Object.keys(acts);
      const name = names[which % names.length];
      try {
        const got = await acts[name](...args);
        if (typeof got?.close === "function") await got.close();
        if (typeof got?.release === "function") await got.release();
      } catch (error) {
        if (error instanceof AmpouleError) return;
        throw new Error(`${name}: ${error?.name}: ${error?.message}`, { cause: error });
      }
    },
  );

  return {
    properties: { roundTrip, refusal, results, schemas, rust, interfaces },
    close: async () => {
      await kinds?.close();
      await sandbox?.close();
      await pool?.close();
    },
  };
}

/** The enumerable parts of `value`; nothing where they cannot be read. */
function spread(value) {
  try {
    return { ...value };
  } catch {
    return {};
  }
}

/** What comes back for `value` where nothing is known of its type. */
function untyped(value) {
  if (value === undefined) return null;
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (typeof value !== "object" || value === null) return value;
  if (ArrayBuffer.isView(value)) {
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  if (types.isAnyArrayBuffer(value)) return new Uint8Array(value);
  if (Array.isArray(value)) return Array.from(value, untyped);
  if (types.isSet(value)) return [...value].map(untyped);
  const entries = types.isMap(value) ? [...value] : Object.entries(value);
  const object = {};
  for (const [key, item] of entries) {
    if (item === undefined) continue;
    Object.defineProperty(object, String(key), { value: untyped(item), enumerable: true });
  }
  return object;
}

function show(value) {
  return inspect(value, { depth: 6, breakLength: Infinity, customInspect: false });
}
