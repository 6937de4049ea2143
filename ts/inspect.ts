import { isUint8Array } from "node:util/types";
import { describeType, invalid } from "./internal/checks.js";
import { fromNative } from "./internal/failures.js";
import { type NativeElf, type NativeProbe, native } from "./internal/native.js";

/** What this machine offers. */
export type HypervisorReport = Readonly<NativeProbe>;

/** What is in an executable. */
export type ExecutableReport = Readonly<NativeElf>;

/** Says what hypervisor is there, what is missing and how to fix it. */
export function probe(): HypervisorReport {
  return native().probe();
}

/**
 * Says what is in an executable, without running it.
 *
 * @throws AmpouleError `ERR_AMPOULE_INVALID_GUEST` with what is wrong and what to do.
 */
export function inspectExecutable(executable: Uint8Array): ExecutableReport {
  if (!isUint8Array(executable)) {
    throw invalid("executable", `must be a Uint8Array, got ${describeType(executable)}`);
  }
  const { elf, error } = native().inspectElf(executable);
  if (error !== undefined) throw fromNative(error);
  return elf as NativeElf;
}
