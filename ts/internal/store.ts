/** Operations on stores: validation, cancelling, and errors. */
import { fileURLToPath } from "node:url";
import { abortedError, fromNative } from "./failures.js";
import { type NativeOutcome, native } from "./native/native.js";
import {
  checkSignal,
  describeType,
  invalid,
  isUrl,
  readEntries,
  reading,
} from "./options/checks.js";
import { onAbort, refuseAborted } from "./signals.js";

/** The tag of a snapshot that is given none. */
export const DEFAULT_TAG = "latest";

/** Runs an operation on a worker thread, and makes it end when `signal` fires. */
export async function inStore(
  what: string,
  signal: AbortSignal | undefined,
  work: (operation: number) => Promise<NativeOutcome>,
): Promise<unknown> {
  checkSignal(signal);
  refuseAborted(signal, what);
  const operation = native().beginStore();
  const stopListening = onAbort(signal, () => native().stopStore(operation));
  try {
    const { value, error } = await work(operation);
    if (error === undefined) return JSON.parse(value as string);
    if (error.code === "ERR_AMPOULE_ABORTED") throw abortedError(what, signal);
    throw fromNative(error);
  } finally {
    stopListening();
  }
}

/** The path of a store. */
export function storePath(path: unknown): string {
  if (typeof path === "string" && path !== "" && !path.includes("\0")) return path;
  if (isUrl(path) && path.protocol === "file:") return reading("path", () => fileURLToPath(path));
  const found = isUrl(path) ? path.href : describeType(path);
  throw invalid("path", `must be a path or a file URL, got ${found}`);
}

/** The tag of a snapshot; which ones can be is the native side's to say. */
export function storeTag(tag: unknown): string {
  if (tag === undefined) return DEFAULT_TAG;
  if (typeof tag === "string") return tag;
  throw invalid("tag", `must be a string, got ${describeType(tag)}`);
}

/** What a user wants to be kept with a snapshot. */
export function storeMetadata(metadata: unknown): Record<string, string> {
  const entries = readEntries(metadata ?? {}, "metadata").map(([key, value]) => {
    if (typeof value === "string") return [key, value] as const;
    throw invalid(`metadata.${key}`, `must be a string, got ${describeType(value)}`);
  });
  return Object.fromEntries(entries);
}
