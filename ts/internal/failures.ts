/** Makes the public errors out of what the native side and the guest report. */
import { constants } from "node:os";
import type { ErrorCode } from "../error-codes.js";
import {
  AmpouleError,
  type AmpouleErrorOptions,
  GuestAbortError,
  GuestError,
  GuestExitedError,
  GuestFaultError,
  LIMIT_OPTIONS,
  type LimitCode,
  LimitError,
} from "../errors.js";
import type { ErrorPayload } from "../values/message.js";
import type { NativeFailure } from "./native.js";

/** What a host function threw. A wrapper, since anything can be thrown, `undefined` too. */
export interface Thrown {
  readonly value: unknown;
  /** What the guest was told. */
  readonly message: string;
}

/** The name of a signal, such as `SIGABRT`; `null` for 0, which is none. */
export function signalName(signal: number): string | null {
  if (signal === 0) return null;
  const known = Object.entries(constants.signals).find(([, number]) => number === signal);
  return known?.[0] ?? `signal ${signal}`;
}

/** The error of a code and a message, as the class that belongs to the code. */
export function errorOf(
  code: ErrorCode,
  message: string,
  options: AmpouleErrorOptions = {},
): AmpouleError {
  if (Object.hasOwn(LIMIT_OPTIONS, code))
    return new LimitError(code as LimitCode, message, options);
  switch (code) {
    case "ERR_AMPOULE_GUEST_EXITED": {
      const { exitCode, signal } = (options.details ?? {}) as {
        exitCode?: number;
        signal?: number;
      };
      return new GuestExitedError(
        message,
        signal || exitCode === undefined ? null : exitCode,
        signalName(signal ?? 0),
      );
    }
    case "ERR_AMPOULE_GUEST_ABORT":
      return new GuestAbortError(message, options);
    case "ERR_AMPOULE_GUEST_FAULT":
      return new GuestFaultError(message, options);
    default:
      return new AmpouleError(code, message, options);
  }
}

/** The error of a native failure. `thrown` is what a host function threw during the call. */
export function fromNative(failure: NativeFailure, thrown?: Thrown): AmpouleError {
  const { details } = failure;
  // A guest that panics over a failed host function names it in its message.
  const blame = thrown !== undefined && failure.message.includes(thrown.message);
  return errorOf(failure.code as ErrorCode, failure.message, {
    details,
    ...(blame ? { cause: thrown.value } : {}),
  });
}

/** The error of a call whose guest function returned an error. */
export function fromGuest(where: string, error: ErrorPayload, thrown?: Thrown): AmpouleError {
  const details = { kind: error.kind, data: error.data };
  if (thrown === undefined || !error.message.includes(thrown.message)) {
    return new GuestError(error.kind, error.message, error.data, { details });
  }
  if (error.kind !== "HostError") {
    return new GuestError(error.kind, error.message, error.data, { details, cause: thrown.value });
  }
  if (isAsyncMistake(thrown.value)) return thrown.value;
  return new AmpouleError("ERR_AMPOULE_HOST_FUNCTION", `${where}: ${thrown.message}`, {
    details,
    cause: thrown.value,
  });
}

/** Whether a host function failed because it was asynchronous in `callSync`. */
function isAsyncMistake(value: unknown): value is AmpouleError {
  return value instanceof AmpouleError && value.code === "ERR_AMPOULE_ASYNC_HOST_FUNCTION";
}

/** The error of a program that ended instead of serving. */
export function exited(code: number, signal: string | null, when: string): GuestExitedError {
  const how = signal === null ? `exited with code ${code}` : `was ended by ${signal}`;
  return new GuestExitedError(`the guest ${how} ${when}`, signal === null ? code : null, signal);
}
