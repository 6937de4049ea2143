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
    /** Whether Ampoule was put into a bundle, is on another platform, or is not installed well. */
    readonly reason: "bundled" | "platform" | "installation";
    /** What to do about it. */
    readonly remedy: string;
  };
  readonly ERR_AMPOULE_INVALID_ARGUMENT: {
    /** The option or argument that is not valid, where it is one. */
    readonly option?: string;
  };
  readonly ERR_AMPOULE_MISSING_HOST_FUNCTION: { readonly missing: readonly string[] };
  readonly ERR_AMPOULE_UNKNOWN_FUNCTION: {
    readonly function: string;
    /** What there is. */
    readonly exports: readonly string[];
  };
  readonly ERR_AMPOULE_ARGUMENT: {
    readonly function: string;
    /** Absent if their number is wrong. */
    readonly parameter?: string;
  };
  readonly ERR_AMPOULE_RESULT: { readonly function: string };
  readonly ERR_AMPOULE_GUEST_ERROR: {
    /** The guest's name for this kind of error. */
    readonly kind: string;
    readonly data: unknown;
  };
  readonly ERR_AMPOULE_HOST_FUNCTION: {
    /** The output that could not be delivered, if that is what failed. */
    readonly option?: string;
    readonly kind?: string;
    readonly data?: unknown;
  };
  readonly ERR_AMPOULE_GUEST_ABORT: {
    readonly guestMessage?: string;
    readonly file?: string | null;
    readonly line?: number | null;
    readonly column?: number | null;
    readonly backtrace?: readonly CodeLocation[];
  };
  readonly ERR_AMPOULE_GUEST_FAULT: Fault;
  readonly ERR_AMPOULE_GUEST_EXITED: {
    readonly exitCode: number | null;
    readonly signal: string | null;
    /** What it printed before it was ready, if it never was; control characters are replaced. */
    readonly output?: string;
  };
  readonly ERR_AMPOULE_TIMEOUT: TimeLimitDetails;
  readonly ERR_AMPOULE_CPU_TIME: TimeLimitDetails;
  readonly ERR_AMPOULE_MEMORY_LIMIT: ByteLimitDetails;
  readonly ERR_AMPOULE_MESSAGE_TOO_LARGE: ByteLimitDetails & {
    /** Bytes of the message, where they are known. */
    readonly bytes?: number;
  };
  readonly ERR_AMPOULE_OUTPUT_LIMIT: ByteLimitDetails;
  readonly ERR_AMPOULE_HOST_CALL_LIMIT: { readonly limit: number; readonly option: string };
  readonly ERR_AMPOULE_SNAPSHOT_NOT_FOUND: {
    readonly id?: number;
    readonly path?: string;
    readonly tag?: string | null;
  };
  readonly ERR_AMPOULE_CORRUPT_SNAPSHOT: {
    /** Path of the file in the store. */
    readonly file: string;
    readonly what: string;
  };
  readonly ERR_AMPOULE_INCOMPATIBLE_SNAPSHOT: {
    readonly id?: number;
    readonly reason?: "format" | "abi" | "system-pages" | "architecture" | "cpu-features";
    readonly needed?: string;
  };
  readonly ERR_AMPOULE_STORE: {
    readonly operation: string;
    readonly file: string;
    readonly errno: number | null;
  };
  readonly ERR_AMPOULE_QUEUE_FULL: {
    readonly max: number;
    readonly maxQueue: number;
    readonly queued: number;
  };
}

/** The details of errors of that code. */
export type DetailsOf<Code extends ErrorCode> = Code extends keyof DetailsByCode
  ? DetailsByCode[Code]
  : ErrorDetails;
