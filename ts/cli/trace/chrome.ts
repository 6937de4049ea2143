/**
 * A trace in the Chrome trace event format, for Perfetto and chrome://tracing: see "Trace Event Format"
 * in the documentation of Chromium's catapult. Times are microseconds from the start of the call, since
 * the format's numbers cannot hold nanoseconds since 1970.
 */
import type { Attributes } from "../../internal/telemetry/spans.js";
import { originOf } from "./labels.js";
import { compare, type RecordedSpan, type SpanNode, treeOf } from "./recording.js";

/** An entry of a trace file, of those kinds that are used here. */
type ChromeEvent = { readonly name: string; readonly pid: number; readonly tid: number } & (
  | { readonly ph: "M"; readonly args: Attributes }
  | {
      readonly ph: "X";
      readonly cat: string;
      readonly ts: number;
      readonly dur: number;
      readonly args: Attributes;
    }
  | {
      readonly ph: "i";
      readonly cat: string;
      readonly ts: number;
      readonly s: "t";
      readonly args: Attributes;
    }
);

/** A trace file. */
export interface ChromeTrace {
  readonly displayTimeUnit: "ns";
  readonly otherData: Readonly<Record<string, string>>;
  readonly traceEvents: readonly ChromeEvent[];
}

const PROCESS = 1;

/** The trace of a call of guest `guest`. */
export function chromeTrace(spans: readonly RecordedSpan[], guest: string): ChromeTrace {
  const nodes = inOrder(treeOf(spans));
  const [first] = nodes;
  const origin = first?.span.start ?? 0n;
  const microseconds = (time: bigint): number => Number(time - origin) / 1000;
  const { lanes, count } = lanesOf(nodes);
  const events: ChromeEvent[] = [
    { ph: "M", name: "process_name", pid: PROCESS, tid: 0, args: { name: `ampoule: ${guest}` } },
  ];
  for (let lane = 1; lane <= count; lane++) {
    const name = lane === 1 ? "call" : `call, overlapping spans (${lane})`;
    events.push({ ph: "M", name: "thread_name", pid: PROCESS, tid: lane, args: { name } });
  }
  for (const node of nodes) {
    const { name, start, end, attributes, failure } = node.span;
    const place = { pid: PROCESS, tid: lanes.get(node) ?? 1 };
    events.push({
      ph: "X",
      name,
      cat: originOf(node.span),
      ts: microseconds(start),
      dur: Number(end - start) / 1000,
      ...place,
      args: failure === null ? attributes : { ...attributes, error: failure },
    });
    for (const event of node.span.events) {
      events.push({
        ph: "i",
        name: event.name,
        cat: "event",
        ts: microseconds(event.time),
        s: "t",
        ...place,
        args: event.attributes,
      });
    }
  }
  return {
    displayTimeUnit: "ns",
    otherData: { traceId: first?.span.ids.traceId ?? "", startTimeUnixNano: String(origin) },
    traceEvents: events,
  };
}

/** All nodes in order of their starts, parents before their children. */
function inOrder(roots: readonly SpanNode[]): SpanNode[] {
  const nodes: SpanNode[] = [];
  const waiting = [...roots];
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    nodes.push(node);
    for (const child of node.children) waiting.push(child);
  }
  // Sorting is stable, and a parent was found before its children.
  return nodes.sort((a, b) => compare(a.span.start, b.span.start));
}

/**
 * The thread that each span is shown on. In a thread of this format, spans must lie within each other or
 * apart; a guest's need not: a span that overlaps another without being in it moves to the next thread.
 */
function lanesOf(nodes: readonly SpanNode[]): { lanes: Map<SpanNode, number>; count: number } {
  const lanes = new Map<SpanNode, number>();
  /** By thread: the spans that are open where the last one started, innermost last. */
  const open: SpanNode[][] = [[]];
  const fits = (node: SpanNode, lane: SpanNode[] | undefined): boolean => {
    if (lane === undefined) return false;
    let around = lane.at(-1);
    while (around !== undefined && around.span.end <= node.span.start) {
      lane.pop();
      around = lane.at(-1);
    }
    return around === undefined || (around.span.end >= node.span.end && isWithin(node, around));
  };
  for (const node of nodes) {
    const own = node.parent === null ? 1 : (lanes.get(node.parent) ?? 1);
    const other = fits(node, open[own - 1]) ? own : open.findIndex((each) => fits(node, each)) + 1;
    const lane = other > 0 ? other : open.push([]);
    open[lane - 1]?.push(node);
    lanes.set(node, lane);
  }
  return { lanes, count: open.length };
}

function isWithin(node: SpanNode, around: SpanNode): boolean {
  for (let each = node.parent; each !== null; each = each.parent) if (each === around) return true;
  return false;
}
