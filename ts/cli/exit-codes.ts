/** Exit codes of the command line, as `timeout`, `env` and container tools use them. */
import { constants } from "node:os";
import { AmpouleError, type GuestFaultError } from "../errors.js";
import { peek } from "../internal/foreign.js";

export const ExitCode = {
  success: 0,
  /** The guest's function returned an error, or a check found something wrong. */
  failure: 1,
  /** The command line is wrong. */
  usage: 2,
  /** A time limit was reached. */
  timeLimit: 124,
  /** Ampoule could not do it, or stopped the guest for another reason. */
  ampoule: 125,
  /** The file is no static x86-64 Linux executable. */
  notExecutable: 126,
  /** The file is not there. */
  notFound: 127,
} as const;

/** Text for `--help`: codes and what they mean. */
export const EXIT_CODES_HELP: readonly (readonly [code: string, meaning: string])[] = [
  ["0", "success"],
  ["1", "the guest's function returned an error, or a check failed"],
  ["2", "the command line is wrong, or a file that it names cannot be read or written"],
  ["124", "a time limit was reached"],
  ["125", "Ampoule itself failed, or stopped the guest for another reason"],
  ["126", "the program or guest is not a static x86-64 Linux executable"],
  ["127", "the program, guest or snapshot was not found"],
  ["130", "interrupted by Ctrl-C"],
  [
    "128+N",
    "(run) signal N ended the program; a processor exception counts as the signal that Linux sends " +
      "for it, for example 139 for a wild pointer",
  ],
];

/** The exit code that a signal stands for. */
export function signalExitCode(name: string): number {
  const number = (constants.signals as Readonly<Record<string, number>>)[name];
  return number === undefined ? ExitCode.ampoule : 128 + number;
}

/** The exit code that an error stands for. */
export function errorExitCode(error: unknown): number {
  if (!(error instanceof AmpouleError)) return ExitCode.ampoule;
  switch (error.code) {
    case "ERR_AMPOULE_GUEST_ERROR":
      return ExitCode.failure;
    case "ERR_AMPOULE_ARGUMENT":
    case "ERR_AMPOULE_UNKNOWN_FUNCTION":
    case "ERR_AMPOULE_MISSING_HOST_FUNCTION":
      return ExitCode.usage;
    case "ERR_AMPOULE_INVALID_ARGUMENT":
      return error.details["option"] === "guest" ? fileExitCode(error.cause) : ExitCode.usage;
    case "ERR_AMPOULE_SNAPSHOT_NOT_FOUND":
      return ExitCode.notFound;
    case "ERR_AMPOULE_CORRUPT_SNAPSHOT":
      return ExitCode.failure;
    case "ERR_AMPOULE_INVALID_GUEST":
      return ExitCode.notExecutable;
    case "ERR_AMPOULE_TIMEOUT":
    case "ERR_AMPOULE_CPU_TIME":
      return ExitCode.timeLimit;
    default:
      return ExitCode.ampoule;
  }
}

/** The exit code of a program that a fault ended: that of the signal which Linux sends for it. */
export function faultExitCode(error: GuestFaultError): number {
  switch (error.fault.vector) {
    case 0:
    case 16:
    case 19:
      return signalExitCode("SIGFPE");
    case 1:
    case 3:
      return signalExitCode("SIGTRAP");
    case 6:
      return signalExitCode("SIGILL");
    case 17:
      return signalExitCode("SIGBUS");
    default:
      return signalExitCode("SIGSEGV");
  }
}

/** The exit code for a program that cannot be read. */
function fileExitCode(cause: unknown): number {
  switch (peek(cause, "code")) {
    case undefined:
      return ExitCode.usage;
    case "ENOENT":
    case "ENOTDIR":
      return ExitCode.notFound;
    default:
      return ExitCode.notExecutable;
  }
}
