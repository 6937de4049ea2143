/** Values as JSON can hold them. */

/** More than any value of a guest's nests; what is deeper, a cycle for example, is left out. */
const DEPTH_MAX = 100;

/** A copy of `value` in which bigints are digits, and bytes are base64. */
export function plainValue(value: unknown, depth = 0): unknown {
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (depth >= DEPTH_MAX) return null;
  if (Array.isArray(value)) return value.map((item) => plainValue(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name, plainValue(item, depth + 1)]),
  );
}
