/** Operations on stores: validation, cancelling, and errors. */
import { fileURLToPath } from "node:url";
import { describeType, invalid } from "../options.js";
import { refuseAborted } from "./create.js";
import { abortedError, fromNative } from "./failures.js";
import { type NativeOutcome, native } from "./native.js";

/** The tag of a snapshot that is given none. */
export const DEFAULT_TAG = "latest";

/** Runs an operation on a worker thread, and makes it end when `signal` fires. */
export async function inStore(
  what: string,
  signal: AbortSignal | undefined,
  work: (operation: number) => Promise<NativeOutcome>,
): Promise<unknown> {
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw invalid("signal", `must be an AbortSignal, got ${describeType(signal)}`);
  }
  refuseAborted(signal, what);
  const operation = native().beginStore();
  const stop = (): void => native().stopStore(operation);
  signal?.addEventListener("abort", stop, { once: true });
  try {
    const { value, error } = await work(operation);
    if (error === undefined) return value;
    if (error.code === "ERR_AMPOULE_ABORTED") throw abortedError(what, signal);
    throw fromNative(error);
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

/** The path of a store. */
export function storePath(path: unknown): string {
  if (path instanceof URL && path.protocol === "file:") return fileURLToPath(path);
  if (typeof path === "string" && path !== "" && !path.includes("\0")) return path;
  const found = path instanceof URL ? path.href : JSON.stringify(path);
  throw invalid("path", `must be a path or a file URL, got ${found ?? describeType(path)}`);
}

/** The tag of a snapshot; which ones can be is the native side's to say. */
export function storeTag(tag: unknown): string {
  if (tag === undefined) return DEFAULT_TAG;
  if (typeof tag === "string") return tag;
  throw invalid("tag", `must be a string, got ${describeType(tag)}`);
}

/** What a user wants to be kept with a snapshot. */
export function storeMetadata(metadata: unknown): Record<string, string> {
  if (metadata === undefined) return {};
  const isObject = typeof metadata === "object" && metadata !== null && !Array.isArray(metadata);
  if (!isObject) throw invalid("metadata", `must be an object, got ${describeType(metadata)}`);
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== "string") {
      throw invalid(`metadata.${key}`, `must be a string, got ${describeType(value)}`);
    }
  }
  return { ...(metadata as Record<string, string>) };
}
