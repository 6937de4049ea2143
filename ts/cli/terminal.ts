/** Text for a terminal: what a guest wrote made harmless, how wide it is, and colours. */
import type { WriteStream } from "node:tty";
import { styleText } from "node:util";
import { cutText } from "../internal/text.js";

export { harmless, onOneLine } from "../internal/text.js";

const PLAIN = /^[\x20-\x7e]*$/;
const NO_COLUMN = /^[\p{Mark}\p{Default_Ignorable_Code_Point}]+$/u;
const TWO_COLUMNS =
  /^[\p{Emoji_Presentation}\p{sc=Han}\p{sc=Hangul}\p{sc=Hiragana}\p{sc=Katakana}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]/u;
const graphemes = new Intl.Segmenter();

function columnsOfGrapheme(grapheme: string): number {
  if (NO_COLUMN.test(grapheme)) return 0;
  return TWO_COLUMNS.test(grapheme) || grapheme.includes("\ufe0f") ? 2 : 1;
}

/** The columns that `text` takes, as most terminals count them. */
export function widthOf(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let width = 0;
  for (const { segment } of graphemes.segment(text)) width += columnsOfGrapheme(segment);
  return width;
}

/** As much of the start of `text` as fits into `width` columns. */
function fitting(text: string, width: number): string {
  let end = 0;
  let used = 0;
  for (const { segment, index } of graphemes.segment(text)) {
    used += columnsOfGrapheme(segment);
    if (used > width) break;
    end = index + segment.length;
  }
  return text.slice(0, end);
}

/** More than any text of `width` columns has, so that a guest's megabytes are not measured. */
function atMost(text: string, width: number): string {
  return cutText(text, 16 * (width + 1));
}

/** `text`, with an ellipsis for what does not fit into `width` columns. */
export function cut(text: string, width: number): string {
  const start = atMost(text, width);
  if (start.length === text.length && widthOf(text) <= width) return text;
  return width < 1 ? "" : `${fitting(start, width - 1).trimEnd()}…`;
}

/** `text` in lines of `width` columns, at spaces where it can be; the last one is cut. */
export function wrap(text: string, width: number, linesMax: number): string[] {
  const lines: string[] = [];
  let rest = atMost(text, width * linesMax);
  while (lines.length < linesMax - 1 && widthOf(rest) > width) {
    const start = fitting(rest, width);
    // A character that is wider than the line would stand there for ever.
    if (start === "") break;
    const space = rest[start.length] === " " ? start.length : start.lastIndexOf(" ");
    const end = space > width / 2 ? space : start.length;
    lines.push(rest.slice(0, end).trimEnd());
    rest = rest.slice(end).trimStart();
  }
  return [...lines, cut(rest, width)];
}

/** Names of styles, as `util.styleText` takes them. */
export type Style = Extract<Parameters<typeof styleText>[0], unknown[]>[number];

/** Gives text a style, or leaves it as it is. */
export type Paint = (style: Style, text: string) => string;

/** A part of a line. */
export type Piece = readonly [style: Style | null, text: string];

/** The columns that the pieces of a line take. */
export function piecesWidth(pieces: readonly Piece[]): number {
  return pieces.reduce((width, [, text]) => width + widthOf(text), 0);
}

/** As much of a line as fits into `width` columns, filled up with spaces. */
export function fit(pieces: readonly Piece[], width: number): Piece[] {
  const fitting: Piece[] = [];
  let rest = width;
  for (const [style, text] of pieces) {
    const start = cut(text, rest);
    fitting.push([style, start]);
    rest -= widthOf(start);
    if (start !== text) break;
  }
  return [...fitting, [null, " ".repeat(rest)]];
}

/** A line from its pieces, without spaces at its end. */
export function painted(pieces: readonly Piece[], paint: Paint): string {
  const runs: [Style | null, string][] = [];
  for (const [style, text] of pieces) {
    const last = runs.at(-1);
    if (last !== undefined && last[0] === style) last[1] += text;
    else if (text !== "") runs.push([style, text]);
  }
  const line = runs.map(([style, text]) => (style === null ? text : paint(style, text)));
  return line.join("").trimEnd();
}

/**
 * Colours for a terminal that has them, nothing for any other stream; `NO_COLOR` and `FORCE_COLOR`
 * overrule that as they do in Node.js itself.
 */
export function painter(stream: WriteStream, env: NodeJS.ProcessEnv = process.env): Paint {
  const { FORCE_COLOR: forced } = env;
  const colours =
    forced === undefined
      ? stream.isTTY === true && stream.hasColors(env)
      : forced !== "0" && forced !== "false";
  if (!colours) return (_style, text) => text;
  return (style, text) => styleText(style, text, { validateStream: false });
}

/** Below the least, a waterfall has no room for bars, and lines are left to the terminal. */
const COLUMNS = { min: 24, default: 80 };

/** The width to write for: the terminal's, 80 if it is none. */
export function columnsOf(stream: WriteStream): number {
  const columns = stream.isTTY ? stream.columns : 0;
  return columns > 0 ? Math.max(columns, COLUMNS.min) : COLUMNS.default;
}
