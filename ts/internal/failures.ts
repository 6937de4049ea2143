/** Makes the public errors out of what the native side and the guest report. */
import { constants } from "node:os";
import { getSystemErrorMap } from "node:util";
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
import { isOurs, messageOf, peek } from "./foreign.js";
import type { NativeFailure } from "./native/native.js";
import { cutText } from "./text.js";

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
    case "ERR_AMPOULE_GUEST_ERROR": {
      const { kind, data } = options.details ?? {};
      return new GuestError(typeof kind === "string" ? kind : "Error", message, data, options);
    }
    case "ERR_AMPOULE_GUEST_EXITED": {
      const { exitCode, signal, ...more } = options.details ?? {};
      const name = typeof signal === "number" ? signalName(signal) : signal;
      const by = typeof name === "string" ? name : null;
      const code = by === null && typeof exitCode === "number" ? exitCode : null;
      return new GuestExitedError(message, code, by, more);
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
  const message = failure.message + remedyOf(failure);
  // A guest that panics over a failed host function names it in its message.
  const blame = thrown !== undefined && message.includes(thrown.message);
  return errorOf(failure.code as ErrorCode, message, {
    details,
    ...(blame ? { cause: thrown.value } : {}),
  });
}

/** What can be done about a native failure, worded to stand behind its message. */
function remedyOf({ code, details, remedy }: NativeFailure): string {
  // What poisoned a sandbox is what could have been helped.
  const cause = code === "ERR_AMPOULE_POISONED" ? details["reason"] : code;
  switch (remedy) {
    case "raise-limit": {
      const raise = `; raise \`${LIMIT_OPTIONS[cause as LimitCode]}\``;
      const isTime = cause === "ERR_AMPOULE_TIMEOUT" || cause === "ERR_AMPOULE_CPU_TIME";
      return isTime ? `${raise} if that is expected` : raise;
    }
    case "diagnose-host":
      return cause === "ERR_AMPOULE_NO_HYPERVISOR"
        ? ". `npx ampoule doctor` tells more"
        : "; run `npx ampoule doctor`";
    default:
      return "";
  }
}

/** The error of a call whose guest function returned an error. */
export function fromGuest(where: string, error: ErrorPayload, thrown?: Thrown): AmpouleError {
  if (error.kind === TOO_LARGE) return resultTooLarge(where, error);
  const refusal = refusedArgument(where, error);
  if (refusal !== undefined) return refusal;
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

/** The kind that the guest SDK gives to an answer that does not fit into the channel. */
const TOO_LARGE = "MessageTooLarge";

function resultTooLarge(where: string, { message, data }: ErrorPayload): AmpouleError {
  const { limit, size } = (typeof data === "object" && data !== null ? data : {}) as {
    limit?: unknown;
    size?: unknown;
  };
  return errorOf("ERR_AMPOULE_MESSAGE_TOO_LARGE", `${where}: ${message}; raise limits.message`, {
    details: { bytes: size, limitBytes: limit, option: "limits.message" },
  });
}

/**
 * The error of arguments that the guest SDK could not read, before the function ran: of types of which
 * a schema cannot say all, such as the range of a map's keys.
 */
function refusedArgument(where: string, { kind, data }: ErrorPayload): AmpouleError | undefined {
  if (kind !== "InvalidArgument" || typeof data !== "object" || data === null) return undefined;
  const { refused, parameter } = data as { refused?: unknown; parameter?: unknown };
  if (typeof refused !== "string") return undefined;
  const isNamed = typeof parameter === "string";
  const what = isNamed ? `parameter ${JSON.stringify(parameter)}` : "the list of arguments";
  const details = isNamed ? { function: where, parameter } : { function: where };
  const message = `${where}: ${what} was refused by the guest: ${refused}`;
  return new AmpouleError("ERR_AMPOULE_ARGUMENT", message, { details });
}

/** Whether a host function failed because it was asynchronous in `callSync`. */
function isAsyncMistake(value: unknown): value is AmpouleError {
  return isOurs(value) && value.code === "ERR_AMPOULE_ASYNC_HOST_FUNCTION";
}

/** The error of a program that ended instead of serving. */
export function exited(code: number, signal: string | null, when: string): GuestExitedError {
  const how = signal === null ? `exited with code ${code}` : `was ended by ${signal}`;
  return new GuestExitedError(`the guest ${how} ${when}`, signal === null ? code : null, signal);
}

/** Characters of what a host function threw that the guest gets to see: an SDK takes 64 KiB of UTF-8. */
const THROWN_MAX = 16 * 1024;

/** Wraps what a host function threw, with the message that the guest gets to see: no stack, no path. */
export function thrown(value: unknown): Thrown {
  const text = systemMessage(value) ?? messageOf(value);
  return { value, message: cutText(text, THROWN_MAX) || "the host function failed" };
}

/** What a system error of Node.js says without the paths and addresses of the host in its message. */
function systemMessage(value: unknown): string | undefined {
  const errno = peek(value, "errno");
  if (typeof peek(value, "syscall") !== "string" || typeof errno !== "number") return undefined;
  const [name, text] = getSystemErrorMap().get(errno) ?? ["system error", `${errno}`];
  return `${name}: ${text}`;
}

/** An error of the sandbox `name`: what it is or was. */
export function sandboxError(
  name: string,
  code: ErrorCode,
  what: string,
  cause: unknown = null,
): AmpouleError {
  const options = cause === null ? {} : { cause };
  return new AmpouleError(code, `sandbox ${JSON.stringify(name)} ${what}`, options);
}

/** Puts what this side knows into an error that the native side reports of a synchronous call. */
export function worded(
  error: AmpouleError,
  name: string,
  { what, signal }: { readonly what: string; readonly signal: AbortSignal | undefined },
): AmpouleError {
  switch (error.code) {
    case "ERR_AMPOULE_ABORTED":
      return abortedError(what, signal);
    case "ERR_AMPOULE_KILLED":
      return sandboxError(name, error.code, "was killed");
    case "ERR_AMPOULE_CLOSED":
      return sandboxError(name, error.code, "was closed during the call");
    default:
      return error;
  }
}

/** The error of a call that its signal stopped. */
export function abortedError(what: string, signal: AbortSignal | undefined): AmpouleError {
  const message = `${what} was aborted by its signal`;
  return new AmpouleError("ERR_AMPOULE_ABORTED", message, { cause: peek(signal, "reason") });
}

/** The error of an output handler or an input source that failed. */
export function sourceError(what: "output" | "stdin", cause: unknown): AmpouleError {
  if (isOurs(cause)) return cause;
  const text = what === "stdin" ? "the stdin source failed" : "the output handler failed";
  const message = `${text}: ${thrown(cause).message}`;
  return new AmpouleError("ERR_AMPOULE_HOST_FUNCTION", message, { cause });
}

/** The error of a run that took too long on this side. */
export function outOfTime(what: string, limitMs: number, doing: string): AmpouleError {
  const message = `${what} took longer than ${limitMs} ms, ${doing}; raise \`timeoutMs\``;
  const details = { limitMs, option: "timeoutMs" };
  return errorOf("ERR_AMPOULE_TIMEOUT", message, { details });
}

/** The error of a defect of Ampoule's own. */
export function internalError(cause: unknown): AmpouleError {
  const message = `internal error: ${messageOf(cause)}`;
  return new AmpouleError("ERR_AMPOULE_HYPERVISOR", message, { cause });
}

/** What any use of a sandbox meets that `why` has poisoned. */
export function poisonedBy(name: string, why: AmpouleError): AmpouleError {
  return sandboxError(name, "ERR_AMPOULE_POISONED", `cannot be used since ${why.code}`, why);
}
