/** What stands below a waterfall: what there is in it, and what to do if that is nothing. */
import { type Piece, painted, piecesWidth, wrap } from "../terminal.js";
import { MARK } from "./bars.js";
import { isHostCall, originOf } from "./labels.js";
import type { RecordedSpan } from "./recording.js";
import type { Canvas } from "./waterfall.js";

/** A few lines on a trace that `directives` asked for. */
export function summary(
  spans: readonly RecordedSpan[],
  directives: string,
  { columns, paint }: Canvas,
): string[] {
  const guest = spans.filter((span) => originOf(span) === "guest").length;
  const host = spans.filter((span) => isHostCall(span)).length;
  const events = spans.reduce((count, span) => count + span.events.length, 0);
  const counts: Piece[][] = [
    [
      ["cyan", "━"],
      ["dim", ` ${counted(guest, "guest span")}`],
    ],
    [
      ["magenta", "─"],
      ["dim", ` ${counted(host, "host function call")}`],
    ],
    [
      [null, MARK],
      ["dim", ` ${counted(events, "event")}`],
    ],
  ];
  const hint = guest + events > 0 ? [] : wrap(hintFor(directives), columns, 3);
  return [...filled(counts, columns).map((line) => painted(line, paint)), ...hint];
}

const COMMA: Piece = ["dim", ", "];

/** Parts behind one another, with commas between them, in lines of at most `columns` columns. */
function filled(parts: readonly Piece[][], columns: number): Piece[][] {
  const lines: Piece[][] = [];
  for (const [index, part] of parts.entries()) {
    const piece = index < parts.length - 1 ? [...part, COMMA] : part;
    const line = lines.at(-1);
    // The space behind the last comma of a line is not written.
    if (line === undefined || piecesWidth([...line, ...piece]) > columns + 1)
      lines.push([...piece]);
    else line.push(...piece);
  }
  return lines;
}

function hintFor(directives: string): string {
  if (directives !== "trace") {
    return `The guest recorded nothing at --trace ${directives}; --trace trace shows all there is.`;
  }
  return "The guest recorded nothing. Spans and events of the Rust crates `tracing` and `log` show up here, see docs/tracing.md.";
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}
