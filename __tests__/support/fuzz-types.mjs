/** Random types together with values of them, and what those come back as. */

/**
 * @typedef {object} Type
 * @property {object | boolean} schema
 * @property {import("fast-check").Arbitrary<[given: unknown, expected: unknown]>} values
 *   What is given, and what comes back for it.
 * @property {number} kinds of its values, for unions that tell them apart by that
 */

const INTEGERS = [
  ["int8", -128, 127],
  ["uint16", 0, 65_535],
  ["int32", -(2 ** 31), 2 ** 31 - 1],
  ["uint32", 0, 2 ** 32 - 1],
];
const BIG_INTEGERS = [
  ["int64", -(2n ** 63n), 2n ** 63n - 1n],
  ["uint64", 0n, 2n ** 64n - 1n],
  ["int128", -(2n ** 127n), 2n ** 127n - 1n],
  ["uint128", 0n, 2n ** 128n - 1n],
];

const same = (value) => [value, value];

/** @param {import("fast-check")} fc */
export function typesOf(fc) {
  const text = fc.string({ unit: "binary", maxLength: 12 });
  const name = fc.oneof(
    fc.string({ unit: "grapheme", minLength: 1, maxLength: 8 }),
    fc.constantFrom("__proto__", "constructor", "then", "toJSON", "0", "1000", "length", "a b"),
  );
  const names = fc.uniqueArray(name, { maxLength: 5 });

  const integer = fc.constantFrom(...INTEGERS).map(([format, min, max]) => ({
    schema: { type: "integer", format },
    values: fc.integer({ min, max }).map(same),
    // On the wire integers have no size: an untagged enum of two sizes is always the first.
    kinds: ["integer"],
  }));
  const big = fc.constantFrom(...BIG_INTEGERS).map(([format, min, max]) => ({
    schema: { type: "integer", format },
    values: fc.bigInt({ min, max }).map(same),
    kinds: ["integer"],
  }));
  const scalar = fc.oneof(
    integer,
    big,
    fc.constantFrom(
      { schema: { type: "null" }, values: fc.constant([null, null]), kinds: ["null"] },
      { schema: { type: "boolean" }, values: fc.boolean().map(same), kinds: ["boolean"] },
      {
        schema: { type: "number", format: "double" },
        values: fc.double().map(same),
        kinds: ["number"],
      },
      {
        schema: { type: "number", format: "float" },
        values: fc.float().map(same),
        kinds: ["number"],
      },
      { schema: { type: "string" }, values: text.map(same), kinds: ["string"] },
      {
        schema: { type: "string", minLength: 1, maxLength: 1 },
        values: fc.string({ unit: "binary", minLength: 1, maxLength: 1 }).map(same),
        kinds: ["string"],
      },
      {
        schema: { type: "string", contentEncoding: "bytes" },
        values: fc
          .uint8Array({ maxLength: 40 })
          .chain((bytes) =>
            fc.constantFrom(
              [bytes, bytes],
              [Buffer.from(bytes), bytes],
              [new DataView(Uint8Array.from(bytes).buffer), bytes],
              [Uint8Array.from(bytes).buffer, bytes],
            ),
          ),
        kinds: ["bytes"],
      },
      { schema: true, values: jsonOf(fc).map(same), kinds: ["any"] },
    ),
    fc.uniqueArray(fc.oneof(text, fc.integer(), fc.boolean()), { minLength: 1 }).map((values) => ({
      schema: { enum: values },
      values: fc.constantFrom(...values).map(same),
      kinds: ["constant"],
    })),
  );

  /** A list of pairs as a pair of lists. */
  const unzip = (pairs) => [pairs.map(([given]) => given), pairs.map(([, expected]) => expected)];
  const objectOf = (entries) => {
    const object = {};
    for (const [key, value] of entries) {
      Object.defineProperty(object, key, {
        value,
        configurable: true,
        enumerable: true,
        writable: true,
      });
    }
    return object;
  };

  const list = (items) =>
    items.map((type) => ({
      schema: { type: "array", items: type.schema },
      values: fc.array(type.values, { maxLength: 6 }).map(unzip),
      kinds: ["array"],
    }));
  const set = (items) =>
    items.map((type) => ({
      schema: { type: "array", items: type.schema, uniqueItems: true },
      values: fc
        .array(type.values, { maxLength: 6 })
        .map((pairs) =>
          unzip(
            pairs.filter(
              ([given], at) => pairs.findIndex(([other]) => Object.is(other, given)) === at,
            ),
          ),
        )
        .chain(([given, expected]) =>
          // A set has one zero only.
          fc.constantFrom(
            [given, expected],
            [given.some((item) => Object.is(item, -0)) ? given : new Set(given), expected],
          ),
        ),
      kinds: ["array"],
    }));
  const tuple = (items) =>
    fc.array(items, { minLength: 1, maxLength: 4 }).map((types) => ({
      schema: {
        type: "array",
        prefixItems: types.map(({ schema }) => schema),
        minItems: types.length,
        maxItems: types.length,
      },
      values: fc.tuple(...types.map(({ values }) => values)).map(unzip),
      kinds: ["array"],
    }));
  const map = (items) =>
    items.map((type) => ({
      schema: { type: "object", additionalProperties: type.schema },
      values: fc
        .uniqueArray(fc.tuple(name, type.values), { maxLength: 6, selector: ([key]) => key })
        .chain((entries) => {
          const given = entries.map(([key, [value]]) => [key, value]);
          const expected = objectOf(entries.map(([key, [, value]]) => [key, value]));
          return fc.constantFrom([objectOf(given), expected], [new Map(given), expected]);
        }),
      kinds: ["object"],
    }));
  const numbered = (items) =>
    items.map((type) => ({
      schema: {
        type: "object",
        patternProperties: { "^-?\\d+$": type.schema },
        additionalProperties: false,
      },
      values: fc
        .uniqueArray(fc.tuple(fc.integer(), type.values), { selector: ([key]) => key })
        .chain((entries) => {
          const given = entries.map(([key, [value]]) => [key, value]);
          const expected = objectOf(entries.map(([key, [, value]]) => [String(key), value]));
          return fc.constantFrom([objectOf(given), expected], [new Map(given), expected]);
        }),
      kinds: ["object"],
    }));

  /** Properties with what they are given as; optional ones may be absent. */
  const fields = (items) =>
    names.chain((keys) =>
      fc.tuple(...keys.map(() => fc.tuple(items, fc.boolean()))).map((types) => {
        const parts = types.map(([type, required], index) => ({
          ...type,
          required,
          key: keys[index],
        }));
        const required = parts.filter((part) => part.required).map(({ key }) => key);
        const values = fc
          .tuple(
            ...parts.map(({ values, required: isRequired, key }) =>
              isRequired
                ? values.map((pair) => [key, pair])
                : fc.option(
                    values.map((pair) => [key, pair]),
                    { nil: [key, undefined] },
                  ),
            ),
          )
          .map((entries) => {
            // What is `undefined` is not there; where it must be, it is `null`.
            const there = entries.filter(
              ([key, pair]) =>
                pair !== undefined && (pair[0] !== undefined || required.includes(key)),
            );
            return [
              there.map(([key, [given]]) => [key, given]),
              there.map(([key, [, expected]]) => [key, expected]),
            ];
          });
        const properties = objectOf(parts.map(({ key, schema }) => [key, schema]));
        return { properties, required, values };
      }),
    );
  class Instance {}
  const struct = (items) =>
    fields(items).map(({ properties, required, values }) => ({
      // One that is not empty: without properties it would be a map.
      schema: {
        type: "object",
        properties: { own: { type: "integer" }, ...properties },
        required: ["own", ...required],
      },
      values: values.chain(([given, expected]) => {
        const mine = [["own", 1], ...given.filter(([key]) => key !== "own")];
        const theirs = objectOf([["own", 1], ...expected.filter(([key]) => key !== "own")]);
        const instance = Object.defineProperties(
          new Instance(),
          Object.fromEntries(
            mine.map(([key, value]) => [
              key,
              { get: () => value, enumerable: true, configurable: true },
            ]),
          ),
        );
        const forms = [
          [objectOf(mine), theirs],
          [new Map(mine), theirs],
        ];
        // Such a name is no property of its own there.
        if (!mine.some(([key]) => key === "__proto__")) forms.push([instance, theirs]);
        return fc.constantFrom(...forms);
      }),
      kinds: ["object"],
    }));
  const tagged = (items) =>
    fc
      .tuple(
        fc.constantFrom("inside", "beside", "around"),
        fc.array(items, { minLength: 2, maxLength: 4 }),
      )
      .map(([form, types]) => {
        const variants = types.map((type, index) => {
          const tag = `v${index}`;
          const wrap =
            form === "around"
              ? (value) => ({ [tag]: value })
              : form === "beside"
                ? (value) => ({ t: tag, c: value })
                : (value) => ({ t: tag, value });
          const inner = form === "around" ? tag : form === "beside" ? "c" : "value";
          const properties =
            form === "around"
              ? { [inner]: type.schema }
              : { t: { const: tag }, [inner]: type.schema };
          return {
            schema: { type: "object", properties, required: Object.keys(properties) },
            values: type.values.map(([given, expected]) => [wrap(given), wrap(expected)]),
          };
        });
        return {
          schema: { oneOf: variants.map(({ schema }) => schema) },
          values: fc.oneof(...variants.map(({ values }) => values)),
          kinds: ["object"],
        };
      });
  const untagged = (items) =>
    fc.array(items, { minLength: 2, maxLength: 4 }).map((types) => {
      const taken = new Set();
      const apart = types.filter(({ kinds }) => {
        if (kinds.some((kind) => taken.has(kind) || kind === "any" || kind === "constant"))
          return false;
        for (const kind of kinds) taken.add(kind);
        return true;
      });
      const used = apart.length === 0 ? types.slice(0, 1) : apart;
      return {
        schema: { anyOf: used.map(({ schema }) => schema) },
        values: fc.oneof(...used.map(({ values }) => values)),
        kinds: used.flatMap(({ kinds }) => kinds),
      };
    });
  const option = (items) =>
    items.map((type) => ({
      schema: { anyOf: [type.schema, { type: "null" }] },
      values: fc.oneof(type.values, fc.constantFrom([null, null], [undefined, null])),
      kinds: ["null", ...type.kinds],
    }));

  return fc.letrec((tie) => ({
    type: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      scalar,
      list(tie("type")),
      set(tie("type")),
      tuple(tie("type")),
      map(tie("type")),
      numbered(tie("type")),
      struct(tie("type")),
      tagged(tie("type")),
      untagged(tie("type")),
      option(tie("type")),
    ),
  })).type;
}

/** What a value of unknown type may be and comes back as. */
function jsonOf(fc) {
  return fc.letrec((tie) => ({
    json: fc.oneof(
      { maxDepth: 4 },
      fc.constant(null),
      fc.boolean(),
      fc.string({ unit: "binary", maxLength: 8 }),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.bigInt({ min: 2n ** 60n, max: 2n ** 128n - 1n }),
      fc.array(tie("json"), { maxLength: 4 }),
      fc
        .dictionary(fc.string({ unit: "binary", maxLength: 4 }), tie("json"), { maxKeys: 4 })
        .map((object) => ({ ...object })),
    ),
  })).json;
}
