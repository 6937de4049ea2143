/**
 * Values as JSON and back, for the command line: 64-bit integers are numbers or, beyond what those
 * hold, strings; bytes are base64 strings.
 */
import type { Shape } from "./schema.js";

/** The value of type `shape` that `json` stands for. What does not fit is left as it is. */
export function fromJson(shape: Shape, json: unknown): unknown {
  switch (shape.kind) {
    case "integer":
      return shape.big ? toBigInt(json) : json;
    case "bytes":
      return typeof json === "string" ? new Uint8Array(Buffer.from(json, "base64")) : json;
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

/** Writes any value as JSON. */
export function toJson(value: unknown, indentation = 2): string {
  const replace = (_name: string, item: unknown): unknown => {
    if (typeof item === "bigint") {
      const number = Number(item);
      return Number.isSafeInteger(number) ? number : String(item);
    }
    return item instanceof Uint8Array ? Buffer.from(item).toString("base64") : item;
  };
  return JSON.stringify(value, replace, indentation) ?? "null";
}
