import { isUint8Array } from "node:util/types";
import { fromNative } from "./internal/failures.js";
import { native } from "./internal/native/native.js";
import { describeType, invalid } from "./internal/options/checks.js";
import type { ExecutableReport, HypervisorReport } from "./reports.js";

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
  return elf as ExecutableReport;
}
