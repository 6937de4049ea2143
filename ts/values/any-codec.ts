/** Values of which the guest says nothing: whatever JSON has, and bytes and large integers. */
import { type Codec, DEPTH_MAX, TOO_DEEP } from "./codec.js";
import { setOwn } from "./decode.js";
import { Entries } from "./entries.js";
import { bytesOf, listOf, recordForm } from "./host-values.js";
import { Mismatch } from "./mismatch.js";
import { smallNumber, writeText } from "./scalar-codecs.js";
import type { Writer } from "./writer.js";

const NULL = 0xf6;
const FALSE = 0xf4;
const MAJOR_ARRAY = 0x80;
const MAJOR_MAP = 0xa0;

const BIG_LOW = -(2n ** 127n);
const BIG_HIGH = 2n ** 128n - 1n;
const SENDABLE =
  "null, a boolean, a finite number, a bigint, a string, bytes, an array, a plain object or a Map";

export const ANY: Codec = {
  acceptsNull: false,
  expected: () => "any value",
  write: writeAny,
  read: (value, { exact }) => (exact ? usual(value) : value),
};

/** What was decoded with every integer as a `bigint` as it would be without. */
function usual(value: unknown): unknown {
  if (typeof value === "bigint") return smallNumber(value);
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) return value.map(usual);
  const result: Record<string, unknown> = {};
  for (const name of Object.keys(value)) {
    setOwn(result, name, usual((value as Record<string, unknown>)[name]));
  }
  return result;
}

function writeAny(value: unknown, writer: Writer): Mismatch | undefined {
  switch (typeof value) {
    case "undefined":
      writer.byte(NULL);
      return undefined;
    case "boolean":
      writer.byte(FALSE + Number(value));
      return undefined;
    case "string":
      return writeText(value, writer);
    case "number":
      return writeNumber(value, writer);
    case "bigint":
      if (value < BIG_LOW || value > BIG_HIGH) {
        return Mismatch.at("a bigint of at most 128 bits", value);
      }
      writer.bigInteger(value);
      return undefined;
    case "object":
      if (value !== null) return writeObject(value, writer);
      writer.byte(NULL);
      return undefined;
    default:
      return Mismatch.at(SENDABLE, value);
  }
}

/** JSON, which the guest's type is described by, has no other numbers; serde would make them `null`. */
function writeNumber(value: number, writer: Writer): Mismatch | undefined {
  if (!Number.isFinite(value)) return Mismatch.at("a finite number", value);
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) writer.integer(value);
  else writer.float(value);
  return undefined;
}

function writeObject(value: object, writer: Writer): Mismatch | undefined {
  // Before lists: a typed array is memory here, since nothing tells what its numbers are.
  const bytes = bytesOf(value);
  if (bytes instanceof Mismatch) return bytes;
  if (bytes !== undefined) {
    writer.byteString(bytes);
    return undefined;
  }
  if (writer.depth >= DEPTH_MAX) return Mismatch.of(TOO_DEEP, "deeper");
  writer.depth++;
  const list = listOf(value);
  const problem = list === undefined ? writeRecord(value, writer) : writeList(list, writer);
  writer.depth--;
  return problem;
}

function writeList(list: ArrayLike<unknown>, writer: Writer): Mismatch | undefined {
  writer.head(MAJOR_ARRAY, list.length);
  for (let index = 0; index < list.length; index++) {
    const problem = writeAny(list[index], writer);
    if (problem !== undefined) return problem.at(index);
  }
  return undefined;
}

function writeRecord(value: object, writer: Writer): Mismatch | undefined {
  const form = recordForm(value);
  if (form === undefined || form === "instance") return Mismatch.at(SENDABLE, value);
  const entries = new Entries();
  const problem = entries.take(value, form);
  if (problem !== undefined) return problem;
  const { names, items } = entries;
  writer.head(MAJOR_MAP, names.length);
  for (let index = 0; index < names.length; index++) {
    const name = names[index] as string;
    writer.key(name);
    const wrong = writeAny(items[index], writer);
    if (wrong !== undefined) return wrong.at(name);
  }
  return undefined;
}
