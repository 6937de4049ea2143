/** A trace as text: a tree of spans with their durations, and bars that say when they were. */
import { fit, type Paint, type Piece, painted, piecesWidth, widthOf, wrap } from "../terminal.js";
import { type Axis, bar, MARK, scale } from "./bars.js";
import { columnDuration } from "./durations.js";
import { eventStyle, eventText, spanLabel, spanLook } from "./labels.js";
import type { RecordedSpan } from "./recording.js";
import { type Row, rowsOf } from "./rows.js";

/** Where a waterfall is to be shown. */
export interface Canvas {
  readonly columns: number;
  readonly paint: Paint;
}

const LABEL = { min: 12, part: 0.45 };
const DURATION_COLUMNS = 8;
/** Lines that one text may take. */
const TEXT_LINES = 3;

/** The trace as lines of at most `canvas.columns` columns. There must be a span. */
export function waterfall(spans: readonly RecordedSpan[], canvas: Canvas): string[] {
  const labelMax = Math.floor(canvas.columns * LABEL.part);
  const rows = rowsOf(spans, labelMax / 2);
  const widest = rows.reduce((width, row) => Math.max(width, labelWidth(row)), LABEL.min);
  const label = Math.min(widest, labelMax);
  const before = label + 1 + DURATION_COLUMNS + 2;
  const axis: Axis = { ...extent(spans), columns: canvas.columns - before };
  const header: Piece[] = [
    [null, " ".repeat(before)],
    ["dim", scale(axis)],
  ];
  const lines = rows.flatMap((row) =>
    "span" in row ? [spanLine(row, row.span, label, axis)] : textLines(row, axis, canvas.columns),
  );
  return [header, ...lines].map((line) => painted(line, canvas.paint));
}

function labelWidth(row: Row): number {
  return "span" in row ? widthOf(row.lead) + piecesWidth(spanLabel(row.span)) : 0;
}

function extent(spans: readonly RecordedSpan[]): { origin: bigint; total: number } {
  let [origin, end] = [spans[0]?.start ?? 0n, 0n];
  for (const span of spans) {
    if (span.start < origin) origin = span.start;
    if (span.end > end) end = span.end;
  }
  return { origin, total: Math.max(Number(end - origin), 1) };
}

function spanLine(row: Row, span: RecordedSpan, label: number, axis: Axis): Piece[] {
  const time = columnDuration(Number(span.end - span.start)).padStart(DURATION_COLUMNS);
  const marks = span.events.map((event) => ({ at: event.time, style: eventStyle(event) }));
  return [
    ...fit([["dim", row.lead], ...spanLabel(span)], label),
    [null, ` ${time}  `],
    ...bar(axis, span, { ...spanLook(span), marks }),
  ];
}

function textLines(row: Row, axis: Axis, columns: number): Piece[][] {
  let [first, style, text]: [Piece[], Piece[0], string] = [[], null, ""];
  if ("event" in row) {
    const { event } = row;
    const offset = columnDuration(Number(event.time - axis.origin));
    style = eventStyle(event);
    first = [
      [style, `${MARK} `],
      ["dim", `+${offset} `],
    ];
    text = eventText(event);
  } else if ("note" in row) [style, text] = row.note;
  const room = columns - widthOf(row.lead) - piecesWidth(first);
  const [start = "", ...others] = wrap(text, room, TEXT_LINES);
  const hanging = row.hanging + " ".repeat(piecesWidth(first));
  return [
    [["dim", row.lead], ...first, [style, start]],
    ...others.map((line): Piece[] => [
      ["dim", hanging],
      [style, line],
    ]),
  ];
}
