/** Ampoule: call typed functions of untrusted programs inside micro-VMs. */
export type {
  CallMessage,
  CreateMessage,
  HostFunctionMessage,
  RestoreMessage,
} from "./diagnostics.js";
export { ERROR_CODES, type ErrorCode, type ErrorEntry } from "./error-codes.js";
export type {
  ByteLimitDetails,
  CodeLocation,
  DetailsByCode,
  DetailsOf,
  ErrorDetails,
  Fault,
  TimeLimitDetails,
} from "./error-details.js";
export { errorFromJson } from "./error-json.js";
export {
  AmpouleError,
  type AmpouleErrorOptions,
  type ErrorClassOf,
  type ErrorOf,
  GuestAbortError,
  GuestError,
  GuestExitedError,
  GuestFaultError,
  isAmpouleError,
  type LimitCode,
  LimitError,
  type PlainAmpouleError,
  type SourceLocation,
} from "./errors.js";
export type {
  Calls,
  GuestDeclaration,
  HostFunctions,
  HostFunctionsOption,
  SyncCalls,
  UndeclaredGuest,
} from "./guest.js";
export type { GuestLog, GuestLogLevel } from "./guest-log.js";
export { inspectExecutable, probe } from "./inspect.js";
export type {
  FunctionDescription,
  GuestInterface,
  JsonSchema,
  ParameterDescription,
} from "./interface.js";
export type { Lease, LeasedSandbox } from "./lease.js";
export {
  type CallOptions,
  DEFAULTS,
  type ExecutableSource,
  type FileSource,
  type GuestOptions,
  type InputOption,
  type InstanceLimits,
  type InstanceOptions,
  type Limits,
  type OutputOption,
  type TimeLimits,
  type TraceOption,
} from "./options.js";
export { type AcquireOptions, type CloseOptions, Pool, type PoolStatistics } from "./pool.js";
export type { ExecutableReport, HypervisorReport } from "./reports.js";
export { type RunOptions, type RunResult, run } from "./run.js";
export { Sandbox } from "./sandbox.js";
export type {
  CreateOptions,
  ForkOptions,
  PoolOptions,
  PoolSettings,
  PoolSize,
  SandboxOptions,
  SnapshotOptions,
} from "./sandbox-options.js";
export type { Size } from "./sizes.js";
export { Snapshot } from "./snapshot.js";
export type { SandboxState } from "./state.js";
export type { SandboxStatistics } from "./statistics.js";
export {
  inspectStore,
  type LoadOptions,
  type PrunedStore,
  pruneStore,
  type SavedLayer,
  type SavedSnapshot,
  type SaveOptions,
  type StoredSnapshot,
  type StoreFinding,
  type StoreOptions,
  verifyStore,
} from "./store.js";
export { type DeclareOptions, declareGuest } from "./types.js";
