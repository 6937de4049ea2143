/**
 * Options: their types, defaults and validation, once for everything that takes them. The native
 * side checks hard bounds again but knows no default.
 */
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import { isUint8Array } from "node:util/types";
import { messageOf, peek } from "./internal/foreign.js";
import { type Contents, readContents } from "./internal/native/contents.js";
import {
  checkSignal,
  describeType,
  invalid,
  isUrl,
  readEntries,
  readItems,
  reading,
  readOptions,
} from "./internal/options/checks.js";
import { formatSize, parseSize, type Size } from "./sizes.js";
import { ITEMS_MAX } from "./values/decode.js";

export { checkSignal, describeType, invalid } from "./internal/options/checks.js";

/** An executable: its path, as a string or a file URL, or its bytes. */
export type ExecutableSource = string | URL | Uint8Array;

/**
 * A file for the guest: its contents, as text or bytes; or which file of the host's to read now, by
 * path or file URL. A string is never a path here, as in `stdin`.
 */
export type FileSource = string | Uint8Array | URL | { readonly path: string };

/**
 * Where a guest's output goes.
 *
 * - `"print"`: to this process's stderr, for people: line by line with the name of the sandbox in
 *   front, control characters replaced, and nothing of a guest that never gets ready.
 * - `"ignore"`: nowhere.
 * - `"inherit"`: to the stream of the same name of this process, **byte by byte as the guest wrote it**.
 *   The guest can then control the terminal and write what looks like the host's own output.
 * - a writable stream, or a function: as the guest wrote it.
 *
 * A function's promise, or a full stream, holds the guest back in asynchronous calls; in `callSync`
 * nothing can wait. A function that throws or rejects, and a stream that fails, was ended or destroyed,
 * stops the guest: the call rejects with `ERR_AMPOULE_HOST_FUNCTION`.
 */
export type OutputOption =
  | "print"
  | "ignore"
  | "inherit"
  | Writable
  | ((chunk: Uint8Array) => void | Promise<void>);

/** What a guest reads from standard input. `null`: nothing, it is at its end. */
export type InputOption =
  | string
  | Uint8Array
  | Iterable<Uint8Array>
  | AsyncIterable<Uint8Array>
  | null;

/** Bounds on time, for one call or for the start of a guest. */
export interface TimeLimits {
  /**
   * Wall-clock milliseconds from the moment the call begins (not while it is queued), time in host
   * functions included. `Infinity` for none.
   * @defaultValue 30000
   */
  readonly timeoutMs?: number;
  /**
   * Milliseconds of CPU time that the guest may take, the host's work for it included: its system calls,
   * page faults, the checking of its messages. Time in host functions does not count.
   * @defaultValue Infinity
   */
  readonly cpuTimeMs?: number;
}

/** Bounds on everything a guest can make grow. */
export interface Limits extends TimeLimits {
  /** Largest message in each direction: arguments, results, host calls. At most 256MiB. @defaultValue "4MiB" */
  readonly message?: Size;
  /** The guest's stack, out of its memory. @defaultValue "8MiB", or a quarter of a small memory */
  readonly stack?: Size;
  /** Bytes of stdout and stderr together during one call. `Infinity` for none. @defaultValue "64MiB" */
  readonly output?: Size;
  /** Host functions the guest may call during one call. `Infinity` for none. @defaultValue 100000 */
  readonly hostCalls?: number;
  /** Levels to which a value may nest. At most 64. @defaultValue 64 */
  readonly depth?: number;
  /**
   * Values of which a message is made, in each direction: every item of an array, every key and value
   * of an object. Keys, bytes and integers beyond 64 bits count twice. It bounds how long one message
   * keeps the JavaScript thread. At most 4000000. @defaultValue 250000
   */
  readonly items?: number;
  /**
   * Bytes of trace records during one call; what is beyond them is counted and left out. `Infinity`
   * for no limit.
   * @defaultValue "16MiB"
   */
  readonly trace?: Size;
}

/** Bounds that a sandbox from a snapshot has of its own; the others belong to the snapshot. */
export type InstanceLimits = Omit<Limits, "message" | "stack">;

/** Options of every sandbox, also of one that is made from a snapshot. */
export interface InstanceOptions {
  /** What it may use; what is absent has its default. */
  readonly limits?: InstanceLimits;
  /** What the guest reads from its standard input; `null` is the end of it at once. @defaultValue null */
  readonly stdin?: InputOption;
  /** Name for messages. @defaultValue that of the guest */
  readonly name?: string;
  /** Cancels; what is running then is stopped at once. */
  readonly signal?: AbortSignal;
}

/** Options that {@link run} and `Sandbox.create` share. */
export interface GuestOptions extends InstanceOptions {
  /** Memory of the guest: everything it loads, allocates and stacks. At most 64GiB. @defaultValue "256MiB" */
  readonly memory?: Size;
  /** What the guest may use; what is absent has its default. */
  readonly limits?: Limits;
  /** Arguments after the program's name. @defaultValue [] */
  readonly args?: readonly string[];
  /** The guest's whole environment; nothing is inherited. @defaultValue {} */
  readonly env?: Readonly<Record<string, string>>;
  /**
   * Read-only files the guest can open, by absolute path. A string is the file's text; a file of the
   * host's is `{ path: "..." }` or a file URL, and is read now.
   */
  readonly files?: Readonly<Record<string, FileSource>>;
  /** Name for messages, and the program's own name (`argv[0]`). @defaultValue the file's name, else "guest" */
  readonly name?: string;
}

/**
 * What of a guest's spans and events is recorded: directives as of `RUST_LOG`, separated by commas.
 * `LEVEL` holds for all modules and `TARGET=LEVEL` for one and those in it, such as
 * `"warn,my_guest::db=trace"`; the longest target that fits decides. Levels are `off`, `error`,
 * `warn`, `info`, `debug` and `trace`. At most 2048 bytes.
 *
 * With `"off"` the guest records nothing, and with `false` nothing of the call is traced at all.
 */
export type TraceOption = string | false;

/** Options of one call, given as an extra last argument. */
export interface CallOptions extends TimeLimits {
  /** What of the guest is traced during this call. @defaultValue what the sandbox's options say */
  readonly trace?: TraceOption;
  /** Cancels the call. While queued this has no effect on the sandbox; a running call poisons it. */
  readonly signal?: AbortSignal;
}

/** The defaults of all options. */
export const DEFAULTS = Object.freeze({
  memory: 256 * 1024 ** 2,
  message: 4 * 1024 ** 2,
  stack: 8 * 1024 ** 2,
  output: 64 * 1024 ** 2,
  hostCalls: 100_000,
  depth: 64,
  items: 250_000,
  trace: 16 * 1024 ** 2,
  timeoutMs: 30_000,
  cpuTimeMs: Number.POSITIVE_INFINITY,
});

const PAGE = 4096;
const MEMORY_MIN = 1024 ** 2;
const MEMORY_MAX = 64 * 1024 ** 3;
const MESSAGE_MAX = 256 * 1024 ** 2;
const MESSAGE_MIN = 1024;
const STACK_MIN = 64 * 1024;
const DEPTH_MAX = 64;
const ITEMS_MIN = 16;

/** {@link TimeLimits} with nothing left open. */
export interface Times {
  readonly timeoutMs: number;
  readonly cpuTimeMs: number;
}

/** {@link GuestOptions} checked, completed, and with every file read. */
export interface ResolvedGuest extends ResolvedInstance {
  readonly executable: Contents;
  readonly arguments: string[];
  readonly environment: string[];
  readonly files: { path: string; contents: Contents }[];
  readonly memoryBytes: number;
  readonly stackBytes: number;
  readonly messageBytes: number;
}

/** What every sandbox has of its own, whether it is made from a guest or a snapshot. */
export interface ResolvedInstance {
  readonly name: string;
  readonly checked: CheckedLimits;
  readonly times: Times;
  readonly stdin: InputOption;
  readonly signal: AbortSignal | undefined;
}

/** Limits that are checked while a guest runs, and that it cannot see. */
export interface CheckedLimits {
  /** `Infinity` for no limit, as with `hostCalls`. */
  readonly outputBytes: number;
  readonly hostCalls: number;
  readonly traceBytes: number;
  readonly valueDepth: number;
  readonly valueItems: number;
}

/** Checks the two time limits of `given`, taking what is absent from `defaults`. */
export function resolveTimes(given: TimeLimits, defaults: Times, where: string): Times {
  const { timeoutMs = defaults.timeoutMs, cpuTimeMs = defaults.cpuTimeMs } = given;
  for (const [name, value] of [
    ["timeoutMs", timeoutMs],
    ["cpuTimeMs", cpuTimeMs],
  ] as const) {
    // `>` is false for NaN, and for what is no number at all.
    if (typeof value !== "number" || !(value > 0)) {
      throw invalid(
        where + name,
        `must be a positive number of milliseconds, got ${describeType(value)}`,
      );
    }
  }
  return { timeoutMs, cpuTimeMs };
}

/** The keys of {@link GuestOptions}. */
export const GUEST_OPTION_KEYS = [
  "memory",
  "limits",
  "args",
  "env",
  "files",
  "stdin",
  "name",
  "signal",
] as const satisfies readonly (keyof GuestOptions)[];

/** The keys of {@link InstanceLimits}. */
export const INSTANCE_LIMIT_KEYS = [
  "timeoutMs",
  "cpuTimeMs",
  "output",
  "hostCalls",
  "depth",
  "items",
  "trace",
] as const satisfies readonly (keyof InstanceLimits)[];

const LIMIT_KEYS = [
  ...INSTANCE_LIMIT_KEYS,
  "message",
  "stack",
] as const satisfies readonly (keyof Limits)[];

/** Checks `options`, fills in the defaults and reads the executable and all files. */
export async function resolveGuest(guest: unknown, options: GuestOptions): Promise<ResolvedGuest> {
  const { args = [], env = {}, files = {} } = options;
  const limits = readLimits(options);
  const instance = resolveInstance(options, resolveName(guest, options.name), limits);
  const memoryBytes = size(options.memory ?? DEFAULTS.memory, "memory", MEMORY_MIN, MEMORY_MAX);
  const stack = limits.stack ?? Math.min(DEFAULTS.stack, Math.floor(memoryBytes / 4 / PAGE) * PAGE);
  const resolved = {
    ...instance,
    arguments: resolveArguments(args),
    environment: resolveEnvironment(env),
    memoryBytes,
    stackBytes: size(stack, "limits.stack", STACK_MIN, memoryBytes),
    messageBytes: size(
      limits.message ?? DEFAULTS.message,
      "limits.message",
      MESSAGE_MIN,
      MESSAGE_MAX,
    ),
  };
  const { signal } = instance;
  const sources = resolveFiles(files);
  const [executable, ...contents] = await Promise.all([
    load(executableSource(guest), "guest", signal),
    ...sources.map(({ source, option }) => load(source, option, signal)),
  ]);
  return {
    ...resolved,
    executable,
    files: sources.map(({ path }, index) => ({ path, contents: contents[index] as Contents })),
  };
}

/** The options of {@link InstanceOptions} checked and completed. */
export function resolveInstance(
  options: InstanceOptions,
  name: string,
  limits: Limits = readLimits(options),
): ResolvedInstance {
  const { stdin = null, signal } = options;
  checkSignal(signal);
  return {
    name,
    checked: {
      outputBytes: sizeOrNone(limits.output ?? DEFAULTS.output, "limits.output"),
      hostCalls: resolveCount(limits.hostCalls ?? DEFAULTS.hostCalls, "limits.hostCalls"),
      traceBytes: sizeOrNone(limits.trace ?? DEFAULTS.trace, "limits.trace"),
      valueDepth: integer(limits.depth ?? DEFAULTS.depth, "limits.depth", 1, DEPTH_MAX),
      valueItems: integer(limits.items ?? DEFAULTS.items, "limits.items", ITEMS_MIN, ITEMS_MAX),
    },
    times: resolveTimes(limits, DEFAULTS, "limits."),
    stdin: resolveInput(stdin),
    signal,
  };
}

function readLimits({ limits = {} }: { readonly limits?: Limits }): Limits {
  return readOptions<Limits>(limits, "limits", LIMIT_KEYS);
}

/** Refuses what a snapshot has decided already. */
export function refuseImageOptions(options: object): void {
  const limits = peek(options, "limits") ?? {};
  const given = [
    ...["guest", "memory", "args", "env", "files"].map((key) => [key, options, key] as const),
    ...["message", "stack"].map((key) => [`limits.${key}`, limits, key] as const),
  ];
  for (const [option, where, key] of given) {
    if (peek(where, key) === undefined) continue;
    throw invalid(option, "is part of the snapshot and cannot be given with one");
  }
}

/** Checks the option `restore`: whether every call is followed by a restore. */
export function resolveRestore(restore: unknown): boolean {
  if (restore === undefined || restore === "never") return false;
  if (restore === "after-call") return true;
  throw invalid("restore", `must be "never" or "after-call", got ${describeType(restore)}`);
}

function unbounded(value: unknown): boolean {
  return value === Number.POSITIVE_INFINITY;
}

/** A size, or infinity for no limit. */
function sizeOrNone(value: unknown, option: string): number {
  return unbounded(value) ? Number.POSITIVE_INFINITY : size(value, option, 0, Infinity);
}

function size(value: unknown, option: string, minimum: number, maximum: number): number {
  const bytes = parseSize(value);
  if (typeof bytes === "string") throw invalid(option, bytes);
  if (bytes < minimum || bytes > maximum) {
    const range = `between ${formatSize(minimum)} and ${formatSize(maximum)}`;
    throw invalid(option, `must be ${range}, got ${JSON.stringify(value)}`);
  }
  return bytes;
}

function resolveCount(value: unknown, option: string): number {
  if (
    typeof value !== "number" ||
    !(unbounded(value) || (Number.isSafeInteger(value) && value >= 0))
  ) {
    throw invalid(option, `must be a non-negative integer or Infinity, got ${describeType(value)}`);
  }
  return value;
}

function integer(value: unknown, option: string, minimum: number, maximum: number): number {
  if (Number.isInteger(value) && (value as number) >= minimum && (value as number) <= maximum) {
    return value as number;
  }
  const range = `an integer between ${minimum} and ${maximum}`;
  throw invalid(option, `must be ${range}, got ${describeType(value)}`);
}

function resolveName(guest: unknown, name: unknown): string {
  return checkName(name) ?? nameOfGuest(guest);
}

/** The name of a guest that was given none. */
export function nameOfGuest(guest: unknown): string {
  const path = typeof guest === "string" ? guest : isUrl(guest) ? guest.pathname : "guest";
  return path.slice(path.lastIndexOf("/") + 1) || "guest";
}

/** Checks the option `name`. */
export function checkName(name: unknown): string | undefined {
  if (name === undefined) return undefined;
  if (typeof name !== "string" || name === "") {
    throw invalid("name", `must be a non-empty string, got ${describeType(name)}`);
  }
  return checkNoNul(name, "name");
}

function checkNoNul(text: string, option: string): string {
  if (text.includes("\0")) throw invalid(option, "must not contain a NUL character");
  return text;
}

function resolveArguments(args: unknown): string[] {
  return readItems(args, "args").map((argument, index) => {
    if (typeof argument === "string") return checkNoNul(argument, `args[${index}]`);
    throw invalid(`args[${index}]`, `must be a string, got ${describeType(argument)}`);
  });
}

function resolveEnvironment(env: unknown): string[] {
  return readEntries(env, "env").map(([name, value]) => {
    const option = `env[${JSON.stringify(name)}]`;
    if (typeof value !== "string") {
      throw invalid(option, `must be a string, got ${describeType(value)}`);
    }
    if (name === "" || name.includes("=")) throw invalid(option, "is not a valid name");
    return checkNoNul(`${name}=${value}`, option);
  });
}

/** Where contents come from: bytes, or a path. */
type Source = Uint8Array | string;

function resolveFiles(files: unknown): { path: string; option: string; source: Source }[] {
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

function executableSource(given: unknown): Source {
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

function resolveInput(stdin: unknown): InputOption {
  const usable =
    stdin === null ||
    typeof stdin === "string" ||
    isUint8Array(stdin) ||
    (typeof stdin === "object" &&
      reading("stdin", () => Symbol.asyncIterator in stdin || Symbol.iterator in stdin));
  if (!usable) {
    const accepted = "null, a string, a Uint8Array or an (async) iterable of Uint8Array";
    throw invalid("stdin", `must be ${accepted}, got ${describeType(stdin)}`);
  }
  expectErrors(stdin);
  return stdin as InputOption;
}

/**
 * A stream that fails before the guest reads from it would end the process by its event. Whoever reads
 * gets the error.
 */
function expectErrors(stdin: unknown): void {
  if (typeof peek(stdin, "pipe") !== "function" || typeof peek(stdin, "on") !== "function") return;
  reading("stdin", () => (stdin as Readable).on("error", () => {}));
}

async function load(
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
