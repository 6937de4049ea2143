/**
 * Contents of executables and files, in memory once for the whole process. A file that has been read
 * is known again by its identity, so that making many sandboxes of a guest reads and copies it once.
 */
import { type BigIntStats, readFileSync } from "node:fs";
import { open, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { native } from "./native.js";

/** Bytes, or a file whose bytes the native side has. */
export type Contents =
  | { readonly bytes: Uint8Array; readonly file?: File }
  | { readonly file: File };

interface File {
  readonly path: string;
  /** What tells one state of the file from another; absent when nothing does reliably. */
  readonly identity: string | undefined;
}

/** What was last read from a path: its identity and its number on the native side. */
const known = new Map<string, { readonly identity: string; readonly id: number }>();
const KNOWN_MAX = 256;

/**
 * A file changed less than this before it was read can change again within the same tick of the file
 * system's clock, unnoticed.
 */
const SETTLED_NS = 100_000_000n;

/** Reads a file, unless it is known. */
export async function readContents(
  path: string,
  signal: AbortSignal | undefined,
): Promise<Contents> {
  const absolute = resolve(path);
  const last = known.get(absolute);
  if (last !== undefined && native().isInterned(last.id)) {
    const now = await stat(absolute, { bigint: true }).then(identify, () => undefined);
    if (last.identity === now) return { file: { path: absolute, identity: now } };
  }
  const file = await open(path);
  try {
    const before = identify(await file.stat({ bigint: true }));
    const bytes = await file.readFile(signal === undefined ? {} : { signal });
    const after = identify(await file.stat({ bigint: true }));
    return { bytes, file: { path: absolute, identity: before === after ? before : undefined } };
  } finally {
    await file.close();
  }
}

function identify(status: BigIntStats): string | undefined {
  const { dev, ino, size, mtimeNs, ctimeNs } = status;
  const now = BigInt(Date.now()) * 1_000_000n;
  if (!status.isFile() || now - ctimeNs < SETTLED_NS) return undefined;
  return [dev, ino, size, mtimeNs, ctimeNs].join(":");
}

/** The number of `contents` on the native side; to be used by a `create` before anything is awaited. */
export function intern(contents: Contents): number {
  const { file } = contents;
  if ("bytes" in contents) return remember(native().intern(contents.bytes), file);
  const last = known.get(contents.file.path);
  if (
    last?.identity === contents.file.identity &&
    last !== undefined &&
    native().isInterned(last.id)
  ) {
    return last.id;
  }
  // Its last user has let go of it since it was looked up.
  return native().intern(readFileSync(contents.file.path));
}

function remember(id: number, file: File | undefined): number {
  if (file?.identity === undefined) return id;
  known.delete(file.path);
  known.set(file.path, { identity: file.identity, id });
  for (const oldest of known.keys()) {
    if (known.size <= KNOWN_MAX) break;
    known.delete(oldest);
  }
  return id;
}
