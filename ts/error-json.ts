import { ERROR_CODES, type ErrorCode } from "./error-codes.js";
import type { ErrorDetails } from "./error-details.js";
import type { AmpouleError, PlainAmpouleError } from "./errors.js";
import { errorOf } from "./internal/failures.js";
import { describeType, invalid, readOptions } from "./internal/options/checks.js";

/**
 * The error that `plain` was made of by `toJSON`, in another thread or process, with its class and
 * without its cause. Its stack is that of this call.
 *
 * @throws AmpouleError `ERR_AMPOULE_INVALID_ARGUMENT` if it is none.
 */
export function errorFromJson(plain: PlainAmpouleError): AmpouleError {
  const { code, message, details } = readOptions(plain, "plain", KEYS);
  if (typeof code !== "string" || !Object.hasOwn(ERROR_CODES, code)) {
    throw invalid("plain.code", `must be the code of an error, got ${describeType(code)}`);
  }
  if (typeof message !== "string") {
    throw invalid("plain.message", `must be a string, got ${describeType(message)}`);
  }
  if (typeof details !== "object" || details === null) {
    throw invalid("plain.details", `must be an object, got ${describeType(details)}`);
  }
  return errorOf(code satisfies ErrorCode, message, { details: details satisfies ErrorDetails });
}

const KEYS = ["name", "code", "message", "details"] as const;
