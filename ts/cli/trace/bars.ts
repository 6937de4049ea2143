/** Bars along an axis of time, to half a column. */
import type { Piece, Style } from "../terminal.js";
import { axisStep, duration } from "./durations.js";

/** A stretch of time that is shown in so many columns. */
export interface Axis {
  /** Nanoseconds since 1970. */
  readonly origin: bigint;
  /** Nanoseconds, at least 1. */
  readonly total: number;
  readonly columns: number;
}

/** By whether the left and the right half of a column belong to the bar. */
const STROKES = {
  guest: { both: "━", left: "╸", right: "╺" },
  host: { both: "─", left: "╴", right: "╶" },
} as const;

/** How a bar is drawn: thick where the guest was at work, thin where the host was. */
export type Stroke = keyof typeof STROKES;

/** Something to see on a bar. */
export interface Mark {
  readonly at: bigint;
  readonly style: Style | null;
}

/** The sign of an event. */
export const MARK = "◆";

/** Shows when something was, and what happened during it. */
export function bar(
  axis: Axis,
  { start, end }: { readonly start: bigint; readonly end: bigint },
  look: { readonly stroke: Stroke; readonly style: Style; readonly marks: readonly Mark[] },
): Piece[] {
  const halves = axis.columns * 2;
  const half = (time: bigint): number => (Number(time - axis.origin) / axis.total) * halves;
  // However short something is, it is somewhere.
  const from = Math.min(Math.floor(half(start)), halves - 1);
  const to = Math.max(Math.round(half(end)), from + 1);
  const strokes = STROKES[look.stroke];
  const marks = new Map(
    look.marks.map(({ at, style }) => [
      Math.min(Math.floor(half(at) / 2), axis.columns - 1),
      style,
    ]),
  );
  return Array.from({ length: axis.columns }, (_, column): Piece => {
    const mark = marks.get(column);
    if (mark !== undefined) return [mark, MARK];
    const left = from <= column * 2 && column * 2 < to;
    const right = from <= column * 2 + 1 && column * 2 + 1 < to;
    if (!left && !right) return [null, " "];
    return [look.style, left ? (right ? strokes.both : strokes.left) : strokes.right];
  });
}

/** Columns from one label of the axis to the next. */
const LABEL_COLUMNS = 8;
const LABELS_MIN = 3;

/** The times that an axis shows, at their places. */
export function scale(axis: Axis): string {
  const step = axisStep(axis.total, Math.max(axis.columns / LABEL_COLUMNS, LABELS_MIN));
  let text = "";
  for (let at = 0; at <= axis.total; at += step) {
    const label = `╷${at === 0 ? "0" : duration(at)}`;
    const column = Math.floor((at / axis.total) * axis.columns);
    if (column + label.length > axis.columns || text.length > column) break;
    text = text.padEnd(column) + label;
  }
  return text;
}
