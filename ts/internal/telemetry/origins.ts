/** Which spans made the snapshots that are open on this thread: calls that begin there link to them. */
import type { SpanIds } from "./spans.js";

interface Origin {
  handles: number;
  span: SpanIds | undefined;
}

const origins = new Map<number, Origin>();

/** A handle of snapshot `id` was opened. */
export function snapshotOpened(id: number): void {
  const origin = origins.get(id);
  if (origin === undefined) origins.set(id, { handles: 1, span: undefined });
  else origin.handles++;
}

/** A handle of it was closed. With the last one, its span is forgotten. */
export function snapshotClosed(id: number): void {
  const origin = origins.get(id);
  if (origin !== undefined && --origin.handles === 0) origins.delete(id);
}

/** Snapshot `id`, of which a handle is open, was made by `span`. */
export function snapshotMadeBy(id: number, span: SpanIds): void {
  const origin = origins.get(id);
  if (origin !== undefined) origin.span = span;
}

/** The span that made snapshot `id`, if that is known, and if there is a snapshot. */
export function originOf(id: number | undefined): SpanIds | undefined {
  return id === undefined ? undefined : origins.get(id)?.span;
}
