/** A trace as the lines of a tree, not yet laid out. */
import { onOneLine, type Piece } from "../terminal.js";
import {
  compare,
  type RecordedEvent,
  type RecordedSpan,
  type SpanNode,
  treeOf,
} from "./recording.js";

/** What stands in a tree: `lead` goes before its first line, `hanging` before its further ones. */
export type Row = { readonly lead: string; readonly hanging: string } & (
  | { readonly span: RecordedSpan }
  | { readonly event: RecordedEvent }
  | { readonly note: Piece }
);

type Item = SpanNode | RecordedEvent | { readonly note: Piece };

/** Of what is in one span, how much is shown at the start and at the end if it is too much. */
const SHOWN = { first: 30, last: 10 };
/** Columns of one level of the tree. */
const INDENT = 3;

/** The rows of all spans. Those deeper than `columns` allow stand where their parents do, on a dotted line. */
export function rowsOf(spans: readonly RecordedSpan[], columns: number): Row[] {
  const rows: Row[] = [];
  const indentMax = INDENT * Math.max(Math.floor(columns / INDENT) - 1, 0);
  // Not a recursion: how deep it is, is up to the guest.
  type Waiting = { readonly lead: string; readonly hanging: string; readonly item: Item };
  const waiting: Waiting[] = [];
  const push = (items: readonly Item[], above: string, line: string): void => {
    for (const [index, item] of [...items.entries()].reverse()) {
      const [corner, guide] = index === items.length - 1 ? ["└", "   "] : ["├", "│  "];
      waiting.push({ lead: `${above}${corner}${line} `, hanging: above + guide, item });
    }
  };
  for (const item of treeOf(spans).reverse()) waiting.push({ lead: "", hanging: "", item });
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { lead, hanging, item } = next;
    if ("time" in item) rows.push({ lead, hanging, event: item });
    else if ("note" in item) rows.push({ lead, hanging, note: item.note });
    else {
      rows.push({ lead, hanging, span: item.span });
      const above = hanging.slice(0, indentMax);
      const items = shorten(itemsOf(item));
      const failure = failureOf(item);
      if (failure !== null) {
        const guide = above + (items.length === 0 ? "   " : "│  ");
        rows.push({ lead: guide, hanging: guide, note: ["red", failure] });
      }
      push(items, above, above === hanging ? "─" : "┄");
    }
  }
  return rows;
}

/** What is in a span, in order of time. */
function itemsOf({ span, children }: SpanNode): Item[] {
  const items: (SpanNode | RecordedEvent)[] = [...children, ...span.events];
  return items.sort((a, b) => compare(timeOf(a), timeOf(b)));
}

/** What is said of why a span failed. */
function failureOf({ span, parent }: SpanNode): string | null {
  // A guest that is stopped fails all spans that are open, for one reason.
  if (span.failure === parent?.span.failure) return null;
  return span.failure === null ? null : onOneLine(span.failure) || null;
}

function timeOf(item: SpanNode | RecordedEvent): bigint {
  return "span" in item ? item.span.start : item.time;
}

function shorten(items: readonly Item[]): readonly Item[] {
  const hidden = items.slice(SHOWN.first, -SHOWN.last);
  if (hidden.length < 2) return items;
  const failed = hidden.filter((item) => "span" in item && item.span.failure !== null).length;
  const failures = failed === 0 ? "" : `, ${failed} of them failed`;
  const note = `… ${hidden.length} more spans and events${failures}; --json has all of them`;
  return [...items.slice(0, SHOWN.first), { note: ["dim", note] }, ...items.slice(-SHOWN.last)];
}
