/**
 * A number of bytes: a non-negative integer, or a string with a binary unit such as `"64KiB"`,
 * `"16MiB"` or `"1.5GiB"`.
 */
export type Size = number | `${number}${"B" | "KiB" | "MiB" | "GiB"}`;

const UNITS: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** Returns `size` in bytes, or a sentence that says what is wrong with it. */
export function parseSize(size: unknown): number | string {
  if (typeof size === "number") {
    return Number.isSafeInteger(size) && size >= 0
      ? size
      : `must be a non-negative whole number of bytes, got ${size}`;
  }
  if (typeof size !== "string") {
    return `must be a number of bytes or a string such as "16MiB", got ${typeof size}`;
  }
  const [, digits, unit] = /^(\d+(?:\.\d+)?) ?(B|KiB|MiB|GiB)$/.exec(size) ?? [];
  const bytes = Number(digits) * (UNITS[unit ?? ""] ?? Number.NaN);
  return Number.isSafeInteger(bytes)
    ? bytes
    : `must be whole bytes with a unit B, KiB, MiB or GiB, such as "16MiB", got ${JSON.stringify(size)}`;
}

/** Writes bytes the way {@link parseSize} reads them, in the largest unit that divides them. */
export function formatSize(bytes: number): string {
  for (const unit of ["GiB", "MiB", "KiB"] as const) {
    const factor = UNITS[unit] as number;
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return `${bytes}B`;
}

/** Writes bytes for people: rounded, in the largest unit of which there is at least one. */
export function roundSize(bytes: number): string {
  const unit = (["GiB", "MiB", "KiB"] as const).find((name) => bytes >= (UNITS[name] as number));
  if (unit === undefined) return `${bytes}B`;
  const count = bytes / (UNITS[unit] as number);
  return `${Number(count.toFixed(1))}${unit}`;
}
