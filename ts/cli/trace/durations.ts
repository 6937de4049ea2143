/** Durations as people read them: three digits and a unit. */

const UNITS = [
  ["ns", 1],
  ["us", 1e3],
  ["ms", 1e6],
  ["s", 1e9],
] as const;

/** `nanoseconds` in the unit that suits it, such as `4.2 ms`. */
export function duration(nanoseconds: number): string {
  // Rounded first, so that 999.9 us is 1 ms.
  const rounded = Number(nanoseconds.toPrecision(3));
  const [unit, size] = UNITS.findLast(([, least]) => rounded >= least) ?? UNITS[0];
  return `${Number((rounded / size).toPrecision(3))} ${unit}`;
}

/** {@link duration} with all three digits, for columns of them: `4.20 ms`. */
export function columnDuration(nanoseconds: number): string {
  const [number = "", unit = ""] = duration(nanoseconds).split(" ");
  const value = Number(number);
  const decimals = unit === "ns" ? 0 : value < 10 ? 2 : value < 100 ? 1 : 0;
  return `${value.toFixed(decimals)} ${unit}`;
}

/** The distance of marks on an axis of `total` nanoseconds of which at most `most` fit: 1, 2 or 5 of a unit. */
export function axisStep(total: number, most: number): number {
  const least = Math.max(total / most, 1);
  const magnitude = 10 ** Math.floor(Math.log10(least));
  const factor = [1, 2, 5].find((each) => each * magnitude >= least) ?? 10;
  return factor * magnitude;
}
