/** Where executables and files come from: bytes, or a path that is read. */
import { fileURLToPath } from "node:url";
import { isUint8Array } from "node:util/types";
import { messageOf, peek } from "../foreign.js";
import { type Contents, readContents } from "../native/contents.js";
import { describeType, invalid, isUrl, readEntries } from "./checks.js";
import { checkNoNul } from "./texts.js";

/** Bytes, or a path. */
export type Source = Uint8Array | string;

/** A file for a guest: its path there, and where its contents come from. */
export interface FileSource {
  readonly path: string;
  /** Names it in messages. */
  readonly option: string;
  readonly source: Source;
}

/** Checks the option `files`. */
export function checkFiles(files: unknown): FileSource[] {
  return readEntries(files, "files").map(([path, given]) => {
    const option = `files[${JSON.stringify(path)}]`;
    const segments = path.split("/");
    const plain = segments.slice(1).every((part) => part !== "" && part !== "." && part !== "..");
    if (segments[0] !== "" || segments.length < 2 || !plain) {
      throw invalid(option, 'must be an absolute path without ".." or "//"');
    }
    return { path: checkNoNul(path, "files"), option, source: fileSource(given, option) };
  });
}

function fileSource(given: unknown, option: string): Source {
  if (typeof given === "string") return Buffer.from(given);
  if (isUint8Array(given)) return given;
  if (isUrl(given)) return pathOf(given, option);
  const path = peek(given, "path");
  if (typeof path === "string") return path;
  const accepted = "a string or a Uint8Array with its contents, a file URL or { path }";
  throw invalid(option, `must be ${accepted}, got ${describeType(given)}`);
}

/** Checks the option `guest`. */
export function checkExecutable(given: unknown): Source {
  if (isUint8Array(given) || typeof given === "string") return given;
  if (isUrl(given)) return pathOf(given, "guest");
  throw invalid("guest", `must be a path, a file URL or a Uint8Array, got ${describeType(given)}`);
}

function pathOf(url: URL, option: string): string {
  try {
    return fileURLToPath(url);
  } catch (cause) {
    throw invalid(option, `must be a file URL, got ${messageOf(cause)}`, cause);
  }
}

/** An executable and the files for it, read. */
export interface Loaded {
  readonly executable: Contents;
  readonly files: readonly { readonly path: string; readonly contents: Contents }[];
}

/** Reads the executable `guest` and all files. */
export async function load(
  guest: Source,
  files: readonly FileSource[],
  signal: AbortSignal | undefined,
): Promise<Loaded> {
  const [executable, ...contents] = await Promise.all([
    contentsOf(guest, "guest", signal),
    ...files.map(({ source, option }) => contentsOf(source, option, signal)),
  ]);
  return {
    executable: executable as Contents,
    files: files.map(({ path }, index) => ({ path, contents: contents[index] as Contents })),
  };
}

async function contentsOf(
  source: Source,
  option: string,
  signal: AbortSignal | undefined,
): Promise<Contents> {
  if (typeof source !== "string") return { bytes: source };
  try {
    return await readContents(source, signal);
  } catch (cause) {
    // The caller reports an abort in its own words.
    if (peek(signal, "aborted") === true) throw cause;
    throw invalid(option, `cannot be read: ${messageOf(cause)}`, cause);
  }
}
