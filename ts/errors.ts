import type { ErrorCode } from "./error-codes.js";
import type { CodeLocation, DetailsOf, ErrorDetails, Fault } from "./error-details.js";
import { plainValue } from "./internal/plain.js";
import { harmless } from "./internal/text.js";

/** What every error constructor of this file takes after code and message. */
export interface AmpouleErrorOptions {
  /** What lies behind the error. */
  readonly cause?: unknown;
  /** Facts as plain data, which are copied nowhere: change nothing in them. */
  readonly details?: ErrorDetails | undefined;
}

/** An error as plain data: what JSON and messages between threads carry. */
export interface PlainAmpouleError {
  readonly name: "AmpouleError";
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
}

/**
 * Every error that Ampoule throws or rejects with. Compare `code`; the message is for people and may
 * change. `docs/errors.md` lists all codes with cause and remedy. {@link isAmpouleError} tells them from
 * others, and makes `switch (error.code)` narrow them to their classes and details.
 *
 * A message is safe to print: control characters in what a guest says are replaced by U+FFFD there.
 */
export class AmpouleError extends Error {
  /** Stable code, such as `"ERR_AMPOULE_TIMEOUT"`. */
  readonly code: ErrorCode;
  /** Facts about the failure, as plain data. */
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, options: AmpouleErrorOptions = {}) {
    super(harmless(message), "cause" in options ? { cause: options.cause } : undefined);
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

  /**
   * The error as plain data, for `JSON.stringify` and for messages to other threads: a structured
   * clone of an error keeps its message only. {@link errorFromJson} is the way back. Bigints in
   * `details` are strings of digits then, and bytes are base64; `cause` and `stack` stay behind.
   */
  toJSON(): PlainAmpouleError {
    const details = plainValue(this.details) as ErrorDetails;
    return { name: "AmpouleError", code: this.code, message: this.message, details };
  }
}

/** The guest's function returned an error (`ERR_AMPOULE_GUEST_ERROR`); the sandbox stays ready. */
export class GuestError extends AmpouleError {
  declare readonly code: "ERR_AMPOULE_GUEST_ERROR";
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

/** The guest gave up (`ERR_AMPOULE_GUEST_ABORT`), in Rust by a panic. */
export class GuestAbortError extends AmpouleError {
  declare readonly code: "ERR_AMPOULE_GUEST_ABORT";
  /** What the guest said: the panic's own message, as it is. */
  readonly guestMessage: string;
  /** Where the guest gave up. */
  readonly location: SourceLocation | null;
  /** The guest's call stack, innermost first. */
  readonly backtrace: readonly CodeLocation[];

  constructor(message: string, options: AmpouleErrorOptions = {}) {
    super("ERR_AMPOULE_GUEST_ABORT", message, options);
    const { guestMessage, file, line, column, backtrace } = this
      .details as DetailsOf<"ERR_AMPOULE_GUEST_ABORT">;
    this.guestMessage = guestMessage ?? message;
    this.location =
      typeof file === "string" ? { file, line: line ?? null, column: column ?? null } : null;
    this.backtrace = backtrace ?? [];
  }
}

/** The guest was stopped for something forbidden (`ERR_AMPOULE_GUEST_FAULT`). */
export class GuestFaultError extends AmpouleError {
  declare readonly code: "ERR_AMPOULE_GUEST_FAULT";
  readonly fault: Fault;

  constructor(message: string, options: AmpouleErrorOptions = {}) {
    super("ERR_AMPOULE_GUEST_FAULT", message, options);
    this.fault = this.details as unknown as Fault;
  }
}

/** The guest's program ended (`ERR_AMPOULE_GUEST_EXITED`). */
export class GuestExitedError extends AmpouleError {
  declare readonly code: "ERR_AMPOULE_GUEST_EXITED";
  /** Exit code, or `null` when a signal ended the program. */
  readonly exitCode: number | null;
  /** Name of the signal that ended it, such as `"SIGABRT"`, or `null`. */
  readonly signal: string | null;

  constructor(
    message: string,
    exitCode: number | null,
    signal: string | null,
    more: ErrorDetails = {},
  ) {
    super("ERR_AMPOULE_GUEST_EXITED", message, { details: { exitCode, signal, ...more } });
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
  | "ERR_AMPOULE_ITEM_LIMIT"
  | "ERR_AMPOULE_OUTPUT_LIMIT"
  | "ERR_AMPOULE_HOST_CALL_LIMIT";

/** The option that raises each limit. */
export const LIMIT_OPTIONS: Readonly<Record<LimitCode, string>> = {
  ERR_AMPOULE_TIMEOUT: "timeoutMs",
  ERR_AMPOULE_CPU_TIME: "cpuTimeMs",
  ERR_AMPOULE_MEMORY_LIMIT: "memory",
  ERR_AMPOULE_MESSAGE_TOO_LARGE: "limits.message",
  ERR_AMPOULE_ITEM_LIMIT: "limits.items",
  ERR_AMPOULE_OUTPUT_LIMIT: "limits.output",
  ERR_AMPOULE_HOST_CALL_LIMIT: "limits.hostCalls",
};

/** A limit was reached; the message names it, its value and the option that raises it. */
export class LimitError extends AmpouleError {
  declare readonly code: LimitCode;
  /** The option that raises this limit. */
  readonly option: string;
  /** The limit's value in the option's own unit: milliseconds, bytes, or a count. */
  readonly limit: number | null;

  constructor(code: LimitCode, message: string, options: AmpouleErrorOptions = {}) {
    super(code, message, options);
    this.option = LIMIT_OPTIONS[code];
    const { limitMs, limitBytes, limit } = this.details;
    const value = limitMs ?? limitBytes ?? limit;
    this.limit = typeof value === "number" ? value : null;
  }
}

/** The class that an error of that code has. */
export type ErrorClassOf<Code extends ErrorCode> = Code extends "ERR_AMPOULE_GUEST_ERROR"
  ? GuestError
  : Code extends "ERR_AMPOULE_GUEST_ABORT"
    ? GuestAbortError
    : Code extends "ERR_AMPOULE_GUEST_FAULT"
      ? GuestFaultError
      : Code extends "ERR_AMPOULE_GUEST_EXITED"
        ? GuestExitedError
        : Code extends LimitCode
          ? LimitError
          : AmpouleError;

/** An error of that code: its class, and what its details are. Of several codes, a union. */
export type ErrorOf<Code extends ErrorCode = ErrorCode> = {
  readonly [Each in Code]: ErrorClassOf<Each> & {
    readonly code: Each;
    readonly details: DetailsOf<Each>;
  };
}[Code];

/**
 * Whether `error` is an error of Ampoule's: any, or one of these `codes`. It never throws, whatever
 * `error` is.
 */
export function isAmpouleError<Code extends ErrorCode = ErrorCode>(
  error: unknown,
  ...codes: readonly Code[]
): error is ErrorOf<Code> {
  try {
    return (
      error instanceof AmpouleError &&
      (codes.length === 0 || codes.includes(error.code as unknown as Code))
    );
  } catch {
    return false;
  }
}
