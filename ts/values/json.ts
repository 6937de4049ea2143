/**
 * Values as JSON and back, for the command line: 64-bit integers are strings of digits, and as arguments
 * also numbers; bytes are base64 strings.
 */
import { isUint8Array } from "node:util/types";
import { Alternatives, type Parts } from "./alternatives.js";
import { DEPTH_MAX } from "./codec.js";
import { Kind, type Shape, target, type UnionShape } from "./shape.js";

/** The value of type `shape` that `json` stands for. What does not fit is left as it is. */
export function fromJson(shape: Shape, json: unknown, depth = 0): unknown {
  // Deeper than any argument may be: whoever writes it says so.
  if (depth > DEPTH_MAX) return json;
  const type = target(shape);
  switch (type.kind) {
    case "integer":
      return type.big ? toBigInt(json) : json;
    case "bytes":
      return typeof json === "string" ? (fromBase64(json) ?? json) : json;
    case "array":
      if (!Array.isArray(json)) return json;
      return json.map((item, index) => {
        const part = type.prefix[index] ?? type.items;
        return part === null ? item : fromJson(part, item, depth + 1);
      });
    case "object":
      if (!isObject(json)) return json;
      return Object.fromEntries(
        Object.entries(json).map(([name, item]) => {
          const part = type.properties.get(name)?.shape ?? type.additional;
          return [name, part === null ? item : fromJson(part, item, depth + 1)];
        }),
      );
    case "union":
      return fromUnion(type, json, depth);
    default:
      return json;
  }
}

const alternativesOf = new WeakMap<UnionShape, Alternatives>();

function fromUnion(union: UnionShape, json: unknown, depth: number): unknown {
  let alternatives = alternativesOf.get(union);
  if (alternatives === undefined) {
    alternatives = new Alternatives(union.alternatives);
    alternativesOf.set(union, alternatives);
  }
  const shapes = alternatives
    .candidates(json, kindsOf(json), () => partsOf(json as Record<string, unknown>))
    .map((index) => union.alternatives[index] as Shape);
  const fitting = shapes.length === 1 ? shapes[0] : shapes.find((part) => resembles(part, json));
  return fitting === undefined ? json : fromJson(fitting, json, depth + 1);
}

/** The kinds of values that `json` can stand for. */
function kindsOf(json: unknown): number {
  switch (typeof json) {
    case "boolean":
      return Kind.boolean;
    case "number":
      return Kind.number | Kind.bigint;
    case "string":
      return Kind.string | Kind.bytes | (typeof toBigInt(json) === "bigint" ? Kind.bigint : 0);
    default:
      if (json === null) return Kind.null;
      return Array.isArray(json) ? Kind.array : Kind.object;
  }
}

function partsOf(json: Readonly<Record<string, unknown>>): Parts {
  return {
    get: (name) => (Object.hasOwn(json, name) ? json[name] : undefined),
    names: () => Object.keys(json),
  };
}

/** Whether `json` has what a value of type `shape` must have, where kinds do not tell. */
function resembles(shape: Shape, json: unknown): boolean {
  const type = target(shape);
  if (type.kind === "integer" && type.big) return typeof toBigInt(json) === "bigint";
  if (type.kind === "bytes") return fromBase64(json as string) !== undefined;
  if (type.kind !== "object" || !isObject(json)) return true;
  return [...type.properties].every(([name, { required }]) => !required || name in json);
}

function isObject(json: unknown): json is Record<string, unknown> {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

function toBigInt(json: unknown): unknown {
  if (typeof json === "number" && Number.isSafeInteger(json)) return BigInt(json);
  return typeof json === "string" && /^-?\d{1,40}$/.test(json) ? BigInt(json) : json;
}

/** The bytes of a base64 text; `Buffer` would skip what is none. */
function fromBase64(text: string): Uint8Array | undefined {
  const isBase64 = /^[\w+/-]*={0,2}$/.test(text) && text.replaceAll("=", "").length % 4 !== 1;
  return isBase64 ? new Uint8Array(Buffer.from(text, "base64")) : undefined;
}

/** What JSON lets stand as it is, and a terminal takes for commands or for another order of reading. */
const ACTING = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Writes any value as JSON that can be printed. */
export function toJson(value: unknown, indentation = 2): string {
  const replace = (_name: string, item: unknown): unknown => {
    if (typeof item === "bigint") return String(item);
    return isUint8Array(item) ? Buffer.from(item).toString("base64") : item;
  };
  const json = JSON.stringify(value, replace, indentation) ?? "null";
  return json.replaceAll(
    ACTING,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
