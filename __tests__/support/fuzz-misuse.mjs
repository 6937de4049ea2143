/** What programs pass by mistake or malice, and interfaces that nobody would write. */

/** Anything that JavaScript has, and things that do harm when they are looked at: how to make them. */
export function misuseOf(fc) {
  const thrower = () => {
    throw new Error("looked at");
  };
  const revoked = () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    return proxy;
  };
  const nested = (levels) => {
    let value = [];
    for (let level = 0; level < levels; level++) value = level % 2 ? [value] : { a: value };
    return value;
  };
  const cyclic = () => {
    const value = { list: [] };
    value.list.push(value);
    return value;
  };
  const transferred = () => {
    const bytes = new Uint8Array(8);
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
    return bytes;
  };
  const makers = [
    () => new Date(0),
    () => new Date(Number.NaN),
    () => /x/,
    () => new Error("an error"),
    () => Promise.resolve(1),
    () => new Map([[{}, 1]]),
    () =>
      new Map([
        [1, 2],
        ["1", 3],
      ]),
    () => new Set([1, "1", {}]),
    () => new WeakMap(),
    () => Symbol("s"),
    () => () => 1,
    () => class {},
    () => Object(1n),
    () => Object("boxed"),
    () => new Proxy({}, { get: thrower, has: thrower, ownKeys: thrower, getPrototypeOf: thrower }),
    () => new Proxy([], { get: thrower }),
    revoked,
    () => ({
      get value() {
        return thrower();
      },
    }),
    () => ({ ["th".concat("en")]: thrower }),
    () => ({ ["th".concat("en")]: (resolve) => resolve(1) }),
    () => ({ toJSON: () => 1 }),
    () => ({ [Symbol.toPrimitive]: thrower }),
    () => Object.create(null),
    () => Object.create({ inherited: 1 }),
    () => Object.freeze({ a: Object.freeze([1]) }),
    () => ({ ["__proto__"]: 1 }),
    () => JSON.parse('{"__proto__": {"x": 1}}'),
    () => new Array(5),
    () => new Array(2 ** 31),
    () => Object.assign([1], { extra: 2 }),
    () => nested(70),
    () => nested(5000),
    cyclic,
    transferred,
    () => new SharedArrayBuffer(3),
    () => new Float64Array(2),
    () => new BigInt64Array(2),
    () => 2n ** 200n,
    () => -(2n ** 127n) - 1n,
    () => "\ud800",
    () => "\u0000",
    () => "x".repeat(1 << 20),
    () => new Array(300_000).fill(0),
    () => globalThis,
    () => process,
    () => new AbortController().signal,
    () => AbortSignal.abort(),
    () => new URL("file:///nowhere"),
    () => Buffer.from("text"),
    () =>
      (function* () {
        yield 1;
      })(),
    () => Number.NaN,
    () => Number.NEGATIVE_INFINITY,
    () => -0,
  ];
  // Made when they are used: what tests them looks at what it has made.
  const odd = fc.constantFrom(...makers).map((make) => ({ make }));
  const anything = fc.oneof(
    odd,
    fc
      .anything({
        withBigInt: true,
        withBoxedValues: true,
        withDate: true,
        withMap: true,
        withNullPrototype: true,
        withObjectString: true,
        withSet: true,
        withSparseArray: true,
        withTypedArray: true,
        withUnicodeString: true,
        maxDepth: 3,
      })
      .map((value) => ({ make: () => value })),
  );
  return fc.oneof(
    anything,
    fc
      .array(anything, { maxLength: 3 })
      .map((items) => ({ make: () => items.map(({ make }) => make()) })),
    fc.dictionary(fc.string(), anything, { maxKeys: 3 }).map((object) => ({
      make: () =>
        Object.fromEntries(Object.entries(object).map(([key, { make }]) => [key, make()])),
    })),
  );
}

/** Random JSON, much of it made of words that schemas are made of. */
export function schemasOf(fc) {
  const word = fc.constantFrom(
    "null",
    "boolean",
    "number",
    "string",
    "integer",
    "array",
    "object",
    "int64",
    "uint128",
    "float",
    "bytes",
    "#",
    "#/$defs/A",
    "#/$defs/B",
    "A",
  );
  const keyword = fc.constantFrom(
    "$ref",
    "$defs",
    "type",
    "format",
    "const",
    "enum",
    "oneOf",
    "anyOf",
    "allOf",
    "properties",
    "required",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minLength",
    "maxLength",
    "additionalProperties",
    "patternProperties",
    "contentEncoding",
    "minimum",
    "maximum",
    "title",
    "description",
    "A",
    "B",
    "__proto__",
  );
  const { part } = fc.letrec((tie) => ({
    part: fc.oneof(
      { maxDepth: 5 },
      word,
      fc.boolean(),
      fc.integer({ min: -2, max: 3 }),
      fc.constant(null),
      fc.array(tie("part"), { maxLength: 4 }),
      fc.dictionary(keyword, tie("part"), { maxKeys: 5 }).map((object) => ({ ...object })),
    ),
  }));
  return fc
    .dictionary(keyword, part, { maxKeys: 6 })
    .chain((schema) =>
      fc
        .dictionary(fc.constantFrom("A", "B"), part)
        .map(($defs) => ({ ...schema, $defs: { ...$defs } })),
    );
}
