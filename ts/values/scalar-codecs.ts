/** Codecs of values that contain no others. */
import type { Codec } from "./codec.js";
import { Mismatch } from "./mismatch.js";
import type { Constant, IntegerShape } from "./shape.js";
import { cut, oneOf } from "./text.js";
import type { Writer } from "./writer.js";

const NULL = 0xf6;
const FALSE = 0xf4;
/** The largest finite number with 32 bits. */
const SINGLE_MAX = 3.4028234663852886e38;

function scalar(
  expected: string,
  is: (value: unknown) => boolean,
  write: (value: unknown, writer: Writer) => void,
): Codec {
  return {
    acceptsNull: false,
    expected: () => expected,
    write(value, writer) {
      if (!is(value)) return Mismatch.at(expected, value);
      write(value, writer);
      return undefined;
    },
    read: (value) => (is(value) ? value : Mismatch.at(expected, value)),
  };
}

export const NOTHING: Codec = {
  ...scalar(
    "null",
    (value) => value === null || value === undefined,
    (_value, writer) => writer.byte(NULL),
  ),
  acceptsNull: true,
};

export const BOOLEAN = scalar(
  "a boolean",
  (value) => typeof value === "boolean",
  (value, writer) => writer.byte(FALSE + Number(value)),
);

export const STRING: Codec = {
  acceptsNull: false,
  expected: () => "a string",
  write: (value, writer) =>
    typeof value === "string" ? writeText(value, writer) : Mismatch.at("a string", value),
  read: (value) => (typeof value === "string" ? value : Mismatch.at("a string", value)),
};

const A_CHARACTER = "a string of one character";

export const CHARACTER: Codec = {
  acceptsNull: false,
  expected: () => A_CHARACTER,
  write: (value, writer) =>
    isCharacter(value) ? writeText(value, writer) : Mismatch.at(A_CHARACTER, value),
  read: (value) => (isCharacter(value) ? value : Mismatch.at(A_CHARACTER, value)),
};

/** Iterating a string goes by code points. */
function isCharacter(value: unknown): value is string {
  return typeof value === "string" && value.length <= 2 && [...value].length === 1;
}

/** Writes `text` unless half a character in it would be lost. */
export function writeText(text: string, writer: Writer): Mismatch | undefined {
  const problem = refuseHalves(text);
  if (problem === undefined) writer.text(text);
  return problem;
}

const HALF = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

/** A lone surrogate is no Unicode, and UTF-8 has no form for it. */
export function refuseHalves(text: string): Mismatch | undefined {
  if (text.isWellFormed()) return undefined;
  const at = text.search(HALF);
  const unit = `\\u${text.charCodeAt(at).toString(16)}`;
  return Mismatch.of(
    "well-formed Unicode",
    `a lone surrogate (${unit}) at index ${at} of a string`,
  );
}

/** Floats always travel as floats: a serde `f64` need not accept an integer. */
export function number(single: boolean): Codec {
  const isTooLarge = (value: number): boolean =>
    single && Number.isFinite(value) && !Number.isFinite(Math.fround(value));
  return {
    acceptsNull: false,
    expected: () => "a number",
    write(value, writer) {
      if (typeof value !== "number") return Mismatch.at("a number", value);
      if (isTooLarge(value)) {
        return Mismatch.at(`a number of 32 bits (float, at most ±${SINGLE_MAX})`, value);
      }
      writer.float(value);
      return undefined;
    },
    read(value) {
      if (typeof value === "number") return value;
      if (typeof value !== "bigint") return Mismatch.at("a number", value);
      const near = Number(value);
      const isExact = Number.isFinite(near) && BigInt(near) === value;
      return isExact ? near : Mismatch.at("a number that keeps all its digits", value);
    },
  };
}

function range({ format, minimum, maximum }: IntegerShape): string {
  return format === "integer" ? "" : ` (${format}, ${minimum} to ${maximum})`;
}

/** A `number` without a fraction. */
export function smallInteger(shape: IntegerShape): Codec {
  const [low, high] = [Number(shape.minimum), Number(shape.maximum)];
  const expected = `an integer${range(shape)}`;
  const fits = (value: unknown): value is number =>
    typeof value === "number" && Number.isInteger(value) && value >= low && value <= high;
  return {
    acceptsNull: false,
    expected: () => expected,
    write(value, writer) {
      if (!fits(value)) return Mismatch.at(expected, value);
      writer.integer(value);
      return undefined;
    },
    read(value) {
      const small = typeof value === "bigint" ? smallNumber(value) : value;
      return fits(small) ? small : Mismatch.at(expected, value);
    },
  };
}

/** `value` as a number if that is exact. */
export function smallNumber(value: bigint): number | bigint {
  const near = Number(value);
  return Number.isSafeInteger(near) ? near : value;
}

/** A `bigint`. */
export function bigInteger(shape: IntegerShape): Codec {
  const { minimum, maximum } = shape;
  const expected = `a bigint${range(shape)}`;
  const fits = (value: bigint): boolean => value >= minimum && value <= maximum;
  return {
    acceptsNull: false,
    expected: () => expected,
    write(value, writer) {
      if (typeof value !== "bigint" || !fits(value)) return Mismatch.at(expected, value);
      writer.bigInteger(value);
      return undefined;
    },
    read(value, { exact }) {
      // CBOR does not tell 64-bit types from others; the decoder usually gives small values as numbers.
      const isSmall = !exact && Number.isSafeInteger(value);
      const big = isSmall ? BigInt(value as number) : value;
      return typeof big === "bigint" && fits(big) ? big : Mismatch.at(expected, value);
    },
  };
}

/** One of some values: looked up, however many there are. */
export function constants(values: readonly Constant[]): Codec {
  const known: ReadonlySet<unknown> = new Set(values);
  const expected = (): string => oneOf(values, nameOfConstant);
  return {
    acceptsNull: known.has(null),
    expected,
    write(value, writer) {
      const given = value === undefined ? null : value;
      if (!known.has(given)) return Mismatch.at(expected, value);
      writeConstant(given, writer);
      return undefined;
    },
    read(value) {
      const usual = typeof value === "bigint" ? smallNumber(value) : value;
      return known.has(usual) ? usual : Mismatch.at(expected, value);
    },
  };
}

/** A constant as one would write it. */
export function nameOfConstant(value: Constant): string {
  return typeof value === "string" ? JSON.stringify(cut(value)) : String(value);
}

function writeConstant(value: unknown, writer: Writer): void {
  if (value === null) writer.byte(NULL);
  else if (typeof value === "string") writer.text(value);
  else if (typeof value === "boolean") writer.byte(FALSE + Number(value));
  else if (Number.isSafeInteger(value)) writer.integer(value as number);
  else writer.float(value as number);
}
