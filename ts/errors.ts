import type { ErrorCode } from "./error-codes.js";

/** Facts about a failure beyond its message; which ones there are depends on the code. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/** What every error constructor of this file takes after code and message. */
export interface AmpouleErrorOptions {
  readonly cause?: unknown;
  readonly details?: ErrorDetails | undefined;
}

/**
 * Every error that Ampoule throws or rejects with. Compare `code`; the message is for people and may
 * change. `docs/errors.md` lists all codes with cause and remedy.
 */
export class AmpouleError extends Error {
  /** Stable code, such as `"ERR_AMPOULE_TIMEOUT"`. */
  readonly code: ErrorCode;
  /** Facts about the failure, as plain data. */
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, options: AmpouleErrorOptions = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.details = options.details ?? {};
  }

  static {
    // On the prototype, as with the language's own errors, so that it is no own property.
    Object.defineProperty(AmpouleError.prototype, "name", {
      value: "AmpouleError",
      configurable: true,
      writable: true,
    });
  }
}

/** The guest's function returned an error (`ERR_AMPOULE_GUEST_ERROR`); the sandbox stays ready. */
export class GuestError extends AmpouleError {
  /** The guest's name for this kind of error, such as the name of a Rust type. */
  readonly kind: string;
  /** What the guest attached to the error; `undefined` if nothing. Not checked against a type. */
  readonly data: unknown;

  constructor(kind: string, message: string, data: unknown, options: AmpouleErrorOptions = {}) {
    super("ERR_AMPOULE_GUEST_ERROR", message, options);
    this.kind = kind;
    this.data = data;
  }
}

/** A place in the guest's source. */
export interface SourceLocation {
  readonly file: string;
  readonly line: number | null;
  readonly column: number | null;
}

/** A place in the guest's code. */
export interface CodeLocation {
  /** Address in the guest, as `0x...`. */
  readonly address: string;
  /** The function that holds it, demangled, when the executable has symbols. */
  readonly symbol: string | null;
  /** Bytes from the start of that function. */
  readonly offset: number | null;
}

/** The guest gave up (`ERR_AMPOULE_GUEST_ABORT`), in Rust by a panic. */
export class GuestAbortError extends AmpouleError {
  /** What the guest said: the panic's own message. */
  readonly guestMessage: string;
  /** Where the guest gave up. */
  readonly location: SourceLocation | null;
  /** The guest's call stack, innermost first. */
  readonly backtrace: readonly CodeLocation[];

  constructor(message: string, options: AmpouleErrorOptions = {}) {
    super("ERR_AMPOULE_GUEST_ABORT", message, options);
    const { guestMessage, file, line, column, backtrace } = this.details as {
      readonly guestMessage?: string;
      readonly file?: string | null;
      readonly line?: number | null;
      readonly column?: number | null;
      readonly backtrace?: readonly CodeLocation[];
    };
    this.guestMessage = guestMessage ?? message;
    this.location =
      typeof file === "string" ? { file, line: line ?? null, column: column ?? null } : null;
    this.backtrace = backtrace ?? [];
  }
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

/** The guest was stopped for something forbidden (`ERR_AMPOULE_GUEST_FAULT`). */
export class GuestFaultError extends AmpouleError {
  readonly fault: Fault;

  constructor(message: string, options: AmpouleErrorOptions = {}) {
    super("ERR_AMPOULE_GUEST_FAULT", message, options);
    this.fault = this.details as unknown as Fault;
  }
}

/** The guest's program ended (`ERR_AMPOULE_GUEST_EXITED`). */
export class GuestExitedError extends AmpouleError {
  /** Exit code, or `null` when a signal ended the program. */
  readonly exitCode: number | null;
  /** Name of the signal that ended it, such as `"SIGABRT"`, or `null`. */
  readonly signal: string | null;

  constructor(message: string, exitCode: number | null, signal: string | null) {
    super("ERR_AMPOULE_GUEST_EXITED", message, { details: { exitCode, signal } });
    this.exitCode = exitCode;
    this.signal = signal;
  }
}

/** The codes that say that a limit was reached. */
export type LimitCode =
  | "ERR_AMPOULE_TIMEOUT"
  | "ERR_AMPOULE_CPU_TIME"
  | "ERR_AMPOULE_MEMORY_LIMIT"
  | "ERR_AMPOULE_MESSAGE_TOO_LARGE"
  | "ERR_AMPOULE_OUTPUT_LIMIT"
  | "ERR_AMPOULE_HOST_CALL_LIMIT";

/** The option that raises each limit. */
export const LIMIT_OPTIONS: Readonly<Record<LimitCode, string>> = {
  ERR_AMPOULE_TIMEOUT: "timeoutMs",
  ERR_AMPOULE_CPU_TIME: "cpuTimeMs",
  ERR_AMPOULE_MEMORY_LIMIT: "memory",
  ERR_AMPOULE_MESSAGE_TOO_LARGE: "limits.message",
  ERR_AMPOULE_OUTPUT_LIMIT: "limits.output",
  ERR_AMPOULE_HOST_CALL_LIMIT: "limits.hostCalls",
};

/** A limit was reached; the message names it, its value and the option that raises it. */
export class LimitError extends AmpouleError {
  /** The option that raises this limit. */
  readonly option: string;
  /** The limit's value in the option's own unit: milliseconds, bytes, or a count. */
  readonly limit: number | null;

  constructor(code: LimitCode, message: string, options: AmpouleErrorOptions = {}) {
    super(code, message, options);
    this.option = LIMIT_OPTIONS[code];
    const { limitMs, limitBytes, limit } = this.details as Readonly<Record<string, unknown>>;
    const value = limitMs ?? limitBytes ?? limit;
    this.limit = typeof value === "number" ? value : null;
  }
}
