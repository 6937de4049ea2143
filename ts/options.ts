/** What users can say about guests, limits and calls, and the defaults. What is made of it: `internal/options/`. */
import type { Writable } from "node:stream";
import type { Size } from "./sizes.js";

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
