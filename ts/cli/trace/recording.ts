/** What `ampoule trace` has recorded, as plain values. */

import type { Attributes, SpanIds } from "../../internal/telemetry/spans.js";

/** A moment inside a span. */
export interface RecordedEvent {
  readonly name: string;
  /** Nanoseconds since 1970. */
  readonly time: bigint;
  readonly attributes: Attributes;
}

/** A span that has ended. */
export interface RecordedSpan {
  readonly ids: SpanIds;
  /** `null`: the trace begins here. Of the first span it may be one of another process. */
  readonly parentSpanId: string | null;
  /** Whether all others are in it: it is the call. */
  readonly isRoot: boolean;
  /** By the numbers of OpenTelemetry's API: 0 for an internal one. */
  readonly kind: number;
  readonly name: string;
  /** Nanoseconds since 1970. */
  readonly start: bigint;
  /** Nanoseconds since 1970, never before {@link start}. */
  readonly end: bigint;
  readonly attributes: Attributes;
  readonly events: readonly RecordedEvent[];
  readonly links: readonly SpanIds[];
  /** Why it failed; `null` if it did not. */
  readonly failure: string | null;
}

/** A span with what happened in it, in order of time. */
export interface SpanNode {
  readonly span: RecordedSpan;
  readonly parent: SpanNode | null;
  readonly children: readonly SpanNode[];
}

/** Puts spans below their parents, in order of their starts. Gives those without a parent here. */
export function treeOf(spans: readonly RecordedSpan[]): SpanNode[] {
  type Growing = { span: RecordedSpan; parent: SpanNode | null; children: SpanNode[] };
  const nodes = new Map<string, Growing>();
  for (const span of spans) nodes.set(span.ids.spanId, { span, parent: null, children: [] });
  const roots: Growing[] = [];
  for (const node of nodes.values()) {
    const parent = node.span.parentSpanId === null ? undefined : nodes.get(node.span.parentSpanId);
    if (parent === undefined) roots.push(node);
    else {
      node.parent = parent;
      parent.children.push(node);
    }
  }
  const byStart = (a: SpanNode, b: SpanNode): number => compare(a.span.start, b.span.start);
  for (const { children } of nodes.values()) children.sort(byStart);
  return roots.sort(byStart);
}

/** For sorting by times. */
export function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
