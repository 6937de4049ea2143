/** What is known of a failure beyond its message, by its code. */
import type { ErrorCode } from "./error-codes.js";

/** Facts about a failure, as plain data; which ones there are depends on the code. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/** A place in the guest's code. */
export interface CodeLocation {
  /** Address in the guest, as `0x...`. */
  readonly address: string;
  /** The function that holds it, demangled, when the executable has symbols. */
  readonly symbol: string | null;
  /** Bytes from the start of that function. */
  readonly offset: number | null;
}

/** A forbidden act of a guest. */
export interface Fault {
  /** What it was, for example `"stack overflow"` or `"page fault"`. */
  readonly fault: string;
  /** Number of the processor's exception; `null` when there was none. */
  readonly vector: number | null;
  /** Address that was accessed, as `0x...`; `null` for acts without one. */
  readonly address: string | null;
  /** How it was accessed; `null` for acts without an address. */
  readonly access: "read" | "write" | "execute" | null;
  /** The port, for I/O. */
  readonly port: number | null;
  /** Where the guest was. */
  readonly instruction: CodeLocation;
}

/** Details of a limit on time. */
export interface TimeLimitDetails {
  /** The limit, in milliseconds. */
  readonly limitMs: number;
  /** The option that raises it. */
  readonly option: string;
}

/** Details of a limit on bytes. */
export interface ByteLimitDetails {
  /** The limit, in bytes. */
  readonly limitBytes?: number;
  /** The option that raises it. */
  readonly option: string;
}

/** The details of errors of each code that has some. */
export interface DetailsByCode {
  readonly ERR_AMPOULE_NO_HYPERVISOR: {
    /** One word: what is wrong with the device. */
    readonly reason: string;
  };
  readonly ERR_AMPOULE_NO_BINDING: {
    /**
     * Whether Ampoule was put into a bundle, is on another platform, is not installed well, or is
     * there twice in one thread.
     */
    readonly reason: "bundled" | "platform" | "installation" | "loaded-twice";
    /** What to do about it. */
    readonly remedy: string;
  };
  readonly ERR_AMPOULE_INVALID_ARGUMENT: {
    /** The option or argument that is not valid, where it is one. */
    readonly option?: string;
  };
  readonly ERR_AMPOULE_MISSING_HOST_FUNCTION: {
    /** Names of the functions that were not given. */
    readonly missing: readonly string[];
  };
  readonly ERR_AMPOULE_UNKNOWN_FUNCTION: {
    /** The name that was called. */
    readonly function: string;
    /** What there is. */
    readonly exports: readonly string[];
  };
  readonly ERR_AMPOULE_ARGUMENT: {
    /** Name of the guest's function. */
    readonly function: string;
    /** Absent if their number is wrong. */
    readonly parameter?: string;
  };
  readonly ERR_AMPOULE_RESULT: {
    /** Name of the guest's function. */
    readonly function: string;
  };
  readonly ERR_AMPOULE_GUEST_ERROR: {
    /** The guest's name for this kind of error. */
    readonly kind: string;
    /** What the guest attached; `undefined` if nothing. */
    readonly data: unknown;
  };
  readonly ERR_AMPOULE_HOST_FUNCTION: {
    /** The output that could not be delivered, if that is what failed. */
    readonly option?: string;
    /** `"HostError"`, if a host function failed and the guest passed that on. */
    readonly kind?: string;
    /** What the guest attached to it. */
    readonly data?: unknown;
  };
  readonly ERR_AMPOULE_GUEST_ABORT: {
    /** What the guest said, as it is. */
    readonly guestMessage?: string;
    /** The source file in which it gave up, as the guest names it. */
    readonly file?: string | null;
    /** The line in that file, from 1. */
    readonly line?: number | null;
    /** The column in that line, from 1. */
    readonly column?: number | null;
    /** The calls that led there, the innermost first. */
    readonly backtrace?: readonly CodeLocation[];
  };
  readonly ERR_AMPOULE_GUEST_FAULT: Fault;
  readonly ERR_AMPOULE_GUEST_EXITED: {
    /** `null` when a signal ended the program. */
    readonly exitCode: number | null;
    /** The signal's name, such as `"SIGABRT"`; `null` when none ended it. */
    readonly signal: string | null;
    /** What it printed before it was ready, if it never was; control characters are replaced. */
    readonly output?: string;
  };
  readonly ERR_AMPOULE_GUEST_SIGNAL: {
    /** Name of the signal, such as `"SIGUSR1"`. */
    readonly signal: string;
  };
  readonly ERR_AMPOULE_TIMEOUT: TimeLimitDetails;
  readonly ERR_AMPOULE_CPU_TIME: TimeLimitDetails;
  readonly ERR_AMPOULE_MEMORY_LIMIT: ByteLimitDetails;
  readonly ERR_AMPOULE_MESSAGE_TOO_LARGE: ByteLimitDetails & {
    /** Bytes of the message, where they are known. */
    readonly bytes?: number;
  };
  readonly ERR_AMPOULE_OUTPUT_LIMIT: ByteLimitDetails;
  readonly ERR_AMPOULE_ITEM_LIMIT: {
    /** The limit, as a number of items. */
    readonly limit: number;
    /** The option that raises it. */
    readonly option: string;
  };
  readonly ERR_AMPOULE_HOST_CALL_LIMIT: {
    /** The limit, as a number of calls. */
    readonly limit: number;
    /** The option that raises it. */
    readonly option: string;
  };
  readonly ERR_AMPOULE_SNAPSHOT_NOT_FOUND: {
    /** The id that no snapshot of this process has. */
    readonly id?: number;
    /** The path of the store that is none, or that lacks the snapshot. */
    readonly path?: string;
    /** The tag that was asked for; `null` where none was. */
    readonly tag?: string | null;
  };
  readonly ERR_AMPOULE_CORRUPT_SNAPSHOT: {
    /** Path of the file in the store. */
    readonly file: string;
    /** What is wrong with it. */
    readonly what: string;
  };
  readonly ERR_AMPOULE_INCOMPATIBLE_SNAPSHOT: {
    /** The id of a snapshot of another guest than the sandbox's. */
    readonly id?: number;
    /** In what one from disk does not fit. */
    readonly reason?: "format" | "abi" | "system-pages" | "architecture" | "cpu-features";
    /** What it needs and this release or machine lacks. */
    readonly needed?: string;
  };
  readonly ERR_AMPOULE_STORE: {
    /** What was refused, for example `"write"`. */
    readonly operation: string;
    /** Path of the file. */
    readonly file: string;
    /** The operating system's error number; `null` where it gave none. */
    readonly errno: number | null;
  };
  readonly ERR_AMPOULE_QUEUE_FULL: {
    /** The most sandboxes that the pool may have. */
    readonly max: number;
    /** The most callers that may wait. */
    readonly maxQueue: number;
    /** How many did. */
    readonly queued: number;
  };
}

/** The details of errors of that code. */
export type DetailsOf<Code extends ErrorCode> = Code extends keyof DetailsByCode
  ? DetailsByCode[Code]
  : ErrorDetails;
