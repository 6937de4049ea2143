/**
 * Makes a picture of what a command writes to a terminal, for the documentation.
 *
 * usage: FORCE_COLOR=1 ampoule trace ... | node scripts/picture.js [--lines N] > picture.svg
 */
import { text } from "node:stream/consumers";

const CELL = { width: 8.4, height: 19 };
const MARGIN = 16;
const FONT = 14;
const BACKGROUND = "#1e2127";
const FOREGROUND = "#d7dae0";
/** Of the codes that ampoule uses: colours, and what ends them. */
const COLOURS = {
  31: "#e06c75",
  32: "#98c379",
  33: "#e5c07b",
  34: "#61afef",
  35: "#c678dd",
  36: "#56b6c2",
  39: null,
};

const at = process.argv.indexOf("--lines");
const count = at < 0 ? Number.POSITIVE_INFINITY : Number(process.argv[at + 1]);
const lines = (await text(process.stdin)).trimEnd().split("\n").slice(0, count);
process.stdout.write(picture(lines));

function picture(lines) {
  const rows = lines.map(runsOf);
  const columns = Math.max(80, ...rows.map((row) => row.reduce((sum, run) => sum + run.length, 0)));
  const width = Math.round(2 * MARGIN + columns * CELL.width);
  const height = Math.round(2 * MARGIN + rows.length * CELL.height);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">
<rect width="100%" height="100%" rx="8" fill="${BACKGROUND}"/>
<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="${FONT}" xml:space="preserve">
${rows.flatMap((row, index) => drawn(row, index)).join("\n")}
</g>
</svg>
`;
}

/** Pieces of a line that look the same. */
function runsOf(line) {
  const runs = [];
  const style = { colour: null, bold: false, dim: false };
  // biome-ignore lint/suspicious/noControlCharactersInRegex: terminals are told by them
  for (const [, code, plain] of line.matchAll(/\u001b\[(\d+)m|([^\u001b]+)/g)) {
    if (plain !== undefined) {
      runs.push({ ...style, plain, length: [...plain].length });
    } else if (code === "1" || code === "2") {
      style[code === "1" ? "bold" : "dim"] = true;
    } else if (code === "22" || code === "0") {
      Object.assign(style, { bold: false, dim: false });
    } else if (code in COLOURS) {
      style.colour = COLOURS[code];
    }
  }
  return runs;
}

/** Each run where it belongs whatever the font's width is. */
function drawn(row, line) {
  const y = (MARGIN + (line + 0.75) * CELL.height).toFixed(1);
  let column = 0;
  const texts = [];
  for (const { plain, length, colour, bold, dim } of row) {
    const x = (MARGIN + column * CELL.width).toFixed(1);
    column += length;
    if (plain.trim() === "") continue;
    const look = `fill="${colour ?? FOREGROUND}"${bold ? ' font-weight="bold"' : ""}${dim ? ' opacity="0.6"' : ""}`;
    const size = `textLength="${(length * CELL.width).toFixed(1)}" lengthAdjust="spacingAndGlyphs"`;
    texts.push(`<text x="${x}" y="${y}" ${size} ${look}>${escaped(plain)}</text>`);
  }
  return texts;
}

function escaped(plain) {
  return plain.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(" ", "\u00a0");
}
