/** Which spans made the snapshots that are open on this thread: calls that begin there link to them. */
import type { SpanIds } from "./spans.js";

interface Entry {
  handles: number;
  span: SpanIds | undefined;
}

const entries = new Map<number, Entry>();

/** A handle of snapshot `id` was opened. */
export function snapshotOpened(id: number): void {
  const entry = entries.get(id);
  if (entry === undefined) entries.set(id, { handles: 1, span: undefined });
  else entry.handles++;
}

/** A handle of it was closed. With the last one, its span is forgotten. */
export function snapshotClosed(id: number): void {
  const entry = entries.get(id);
  if (entry !== undefined && --entry.handles === 0) entries.delete(id);
}

/** Snapshot `id`, of which a handle is open, was made by `span`. */
export function snapshotMadeBy(id: number, span: SpanIds): void {
  const entry = entries.get(id);
  if (entry !== undefined) entry.span = span;
}

/** The span that made snapshot `id`, if that is known, and if there is a snapshot. */
export function originOf(id: number | undefined): SpanIds | undefined {
  return id === undefined ? undefined : entries.get(id)?.span;
}
