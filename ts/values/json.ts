/**
 * Values as JSON and back, for the command line: 64-bit integers are strings of digits, and as arguments
 * also numbers; bytes are base64 strings.
 */
import { isUint8Array } from "node:util/types";
import type { Shape } from "./schema.js";

/** The value of type `shape` that `json` stands for. What does not fit is left as it is. */
export function fromJson(shape: Shape, json: unknown): unknown {
  switch (shape.kind) {
    case "integer":
      return shape.big ? toBigInt(json) : json;
    case "bytes":
      return typeof json === "string" && BASE64.test(json)
        ? new Uint8Array(Buffer.from(json, "base64"))
        : json;
    case "array":
      if (!Array.isArray(json)) return json;
      return json.map((item, index) => {
        const part = shape.prefix[index] ?? shape.items;
        return part === null ? item : fromJson(part, item);
      });
    case "object":
      if (typeof json !== "object" || json === null || Array.isArray(json)) return json;
      return Object.fromEntries(
        Object.entries(json).map(([name, item]) => {
          const part = shape.properties.get(name)?.shape ?? shape.additional;
          return [name, part === null ? item : fromJson(part, item)];
        }),
      );
    case "union": {
      const fitting = shape.alternatives.find((part) => resembles(part, json));
      return fitting === undefined ? json : fromJson(fitting, json);
    }
    case "reference":
      return fromJson(shape.definition.shape, json);
    default:
      return json;
  }
}

/** Whether `json` could be written for a value of type `shape`, seen from outside. */
function resembles(shape: Shape, json: unknown): boolean {
  switch (shape.kind) {
    case "null":
      return json === null;
    case "constant":
      return json === shape.value;
    case "boolean":
      return typeof json === "boolean";
    case "string":
    case "bytes":
      return typeof json === "string";
    case "number":
      return typeof json === "number";
    case "integer":
      return typeof json === "number" || (shape.big && typeof toBigInt(json) === "bigint");
    case "array":
      return Array.isArray(json);
    case "object": {
      if (typeof json !== "object" || json === null || Array.isArray(json)) return false;
      return [...shape.properties].every(([name, { required }]) => !required || name in json);
    }
    case "union":
      return shape.alternatives.some((part) => resembles(part, json));
    case "reference":
      return resembles(shape.definition.shape, json);
    default:
      return true;
  }
}

function toBigInt(json: unknown): unknown {
  if (typeof json === "number" && Number.isSafeInteger(json)) return BigInt(json);
  return typeof json === "string" && /^-?\d+$/.test(json) ? BigInt(json) : json;
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;

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
