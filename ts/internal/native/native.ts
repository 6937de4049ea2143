/**
 * The native binding, as TypeScript sees it. It converts and does nothing else: no defaults, no
 * policy, and failures come as data. Loaded at first use, so that importing Ampoule has no effect
 * and works on every platform.
 */
import { createRequire } from "node:module";
import type { ErrorDetails } from "../../error-details.js";
import { AmpouleError } from "../../errors.js";
import type { ExecutableReport, HypervisorReport } from "../../reports.js";

/** A failure as data; `code` is one of the public codes. */
export interface NativeFailure {
  code: string;
  /** What was wrong; what can be done about it is worded on this side. */
  message: string;
  details: ErrorDetails;
  /** What can be done about it, if it is one of these. */
  remedy?: "raise-limit" | "diagnose-host";
}

/** Limits that are checked while a guest runs. */
export interface NativeLimits {
  /** Absent: no limit. */
  outputBytes?: number;
  /** Absent: no limit. */
  hostCalls?: number;
  valueDepth: number;
  valueItems: number;
  /** Absent: no limit. */
  traceBytes?: number;
}

/** What `create` needs: everything resolved, sizes in bytes. */
export interface NativeConfig {
  name: string;
  /** A number from `intern`, as the contents of files. */
  executable: number;
  arguments: string[];
  environment: string[];
  files: { path: string; contents: number }[];
  memoryBytes: number;
  stackBytes: number;
  /** Absent: the guest gets no channel and runs as a plain program. */
  messageBytes?: number;
  limits: NativeLimits;
  restoreAfterCall: boolean;
}

/** What came of an operation on a store: `error` if it failed. */
export interface NativeOutcome {
  /** As JSON. */
  value?: string;
  error?: NativeFailure;
}

/** What is to be saved to a store, and how. */
export interface NativeSave {
  snapshot: number;
  path: string;
  tag: string;
  metadata: Record<string, string>;
}

/** What is known of a snapshot. */
export interface NativeSnapshot {
  name: string;
  interfaceJson: string;
  memoryBytes: number;
  messageBytes: number;
}

/** Counters of one sandbox since it was made. */
export interface NativeStatistics {
  calls: number;
  hostCalls: number;
  exits: number;
  interruptions: number;
  pageFaults: number;
  initialisations: number;
  restores: number;
  restoredPages: number;
  wholesaleRestores: number;
  systemCalls: { name: string; count: number; answered: boolean }[];
  bytesToGuest: number;
  bytesFromGuest: number;
  outputBytes: number;
  guestTimeMs: number;
  /** CPU time inside the guest, of calls with a limit for it, and where `measureCpuTime` says so. */
  cpuTimeMs: number;
  memoryBytes: number;
  traceBytes: number;
  traceEvents: number;
  traceDropped: number;
}

/** The binding's functions. */
export interface Native {
  /**
   * The buffer through which payloads cross, one for each JavaScript thread. Returns the present one
   * if it has at least `minimumBytes`, else another one; a payload that did not fit is then in it.
   */
  staging(minimumBytes: number): Uint8Array;
  /** Keeps a copy of `bytes`, until the next `create` at least; its number stands for it there. */
  intern(bytes: Uint8Array): number;
  /** Whether what `intern` gave that number is in memory still, because something uses it. */
  isInterned(id: number): boolean;
  /** Makes a sandbox of this thread; `onStep` must have been called. The VM is made by the start. */
  create(config: NativeConfig): number;
  /** The same for one that begins as a snapshot. */
  createFromSnapshot(snapshot: number, limits: NativeLimits, restoreAfterCall: boolean): number;
  /** Like the next two: `false` says that it was refused and `stopped` tells why. */
  startAsync(handle: number, timeoutMs: number, cpuTimeMs: number): boolean;
  callAsync(
    handle: number,
    functionId: number,
    length: number,
    timeoutMs: number,
    cpuTimeMs: number,
  ): boolean;
  resumeAsync(handle: number, resumption: number, length: number): boolean;
  /** The step is `snapshot`, and `takeSnapshot` then opens a handle of it on this thread. */
  snapshotAsync(handle: number): boolean;
  takeSnapshot(handle: number, name: string): number;
  /** Goes back to a snapshot; 0 stands for what the sandbox was made from. The step is `restored`. */
  restoreAsync(handle: number, snapshot: number): boolean;
  restoreSync(handle: number, snapshot: number): number;
  /** Whether `restoreSync` would take microseconds only. */
  restoresCheaply(handle: number, snapshot: number): boolean;
  /** Opens another handle of a snapshot on this thread; `false` if all are closed. */
  openSnapshot(id: number): boolean;
  closeSnapshot(id: number): void;
  snapshotInfo(id: number): NativeSnapshot | null;
  callSync(
    handle: number,
    functionId: number,
    length: number,
    timeoutMs: number,
    cpuTimeMs: number,
  ): number;
  resumeSync(handle: number, resumption: number, length: number): number;
  /** The handler is called with a handle whenever `takeStep` has something for it. */
  onStep(handler: (handle: number) => void): void;
  takeStep(handle: number): number;
  takeOutput(handle: number, stream: number): Uint8Array;
  /** Why a `stopped` step happened, or why the last operation was refused. */
  stopped(handle: number): NativeFailure;
  /** How the program ended, after an `exited` step; the number of the signal that did it, or 0. */
  exit(handle: number): { code: number; signal: number };
  /**
   * Stops a sandbox of any JavaScript thread. If a call is in progress, its next step is `stopped`,
   * also when the host has yet to answer the step before.
   */
  kill(handle: number, reason: number): void;
  /** Whether a stop was asked for that has not been acted on. */
  isStopping(handle: number): boolean;
  interfaceJson(handle: number): string;
  /** Bytes of the largest message of a ready sandbox: what was asked for, rounded up. */
  messageBytes(handle: number): number;
  /** `null` while the sandbox runs or does not exist. */
  statistics(handle: number): NativeStatistics | null;
  /** Of those: exits, milliseconds of CPU time, restores, restored pages; in a tenth of the time. */
  counters(handle: number): number[] | null;
  /** Ends and frees a sandbox. When it is gone, its step is `closed`. */
  close(handle: number): void;
  /** A number for one of the next operations, by which `stopStore` makes it end soon. */
  beginStore(): number;
  stopStore(operation: number): void;
  /** These run on a worker thread. */
  saveSnapshot(operation: number, save: NativeSave): Promise<NativeOutcome>;
  /** Brings the number of a snapshot with a handle open on this thread. */
  loadSnapshot(
    operation: number,
    path: string,
    tag: string,
    verify: boolean,
  ): Promise<NativeOutcome>;
  inspectStore(operation: number, path: string, tag?: string): Promise<NativeOutcome>;
  verifyStore(operation: number, path: string): Promise<NativeOutcome>;
  pruneStore(operation: number, path: string): Promise<NativeOutcome>;
  /** Wall time less monotonic time, as seconds and nanoseconds. */
  wallOffset(): number[];
  /** A number above 0 for directives that have been checked. */
  traceDirectives(text: string): number;
  /**
   * Makes the guest trace during the next call in this sandbox, or its start, also if that is refused.
   * `traceparent` is W3C's, or empty. Directives 0: the guest knows that, and traces nothing. The offset
   * turns monotonic time into wall time.
   */
  traceNext(
    handle: number,
    directives: number,
    traceparent: string,
    offsetSeconds: number,
    offsetNanoseconds: number,
  ): void;
  /**
   * The first `count` records that a traced call has brought since the last time, or fewer of many bytes,
   * as JSON; see `telemetry/records.ts`.
   */
  takeTrace(handle: number, count: number): string;
  /** Gives up what `takeTrace` would bring, but for callsites, and counts it as dropped. */
  dropTrace(handle: number): void;
  /** Whether times of guests are exact on this processor. */
  clockIsInvariant(): boolean;
  /** Whether CPU time is measured also for calls without a limit for it, from the next call on. */
  measureCpuTime(handle: number, measures: boolean): void;
  probe(): HypervisorReport;
  inspectElf(executable: Uint8Array): { elf?: ExecutableReport; error?: NativeFailure };
}

let loaded: Native | undefined;

/** The binding. Throws `ERR_AMPOULE_NO_BINDING` where it cannot be loaded. */
export function native(): Native {
  loaded ??= claim(load());
  return loaded;
}

const OWNERS = Symbol.for("ampoule.owners");

/**
 * Refuses an addon that another copy of this module has in this realm: the two would take each
 * other's steps and write over each other's messages. That happens where a loader that knows only
 * `require` has loaded the package's CommonJS build, and something imports the package, too.
 */
function claim(addon: Native): Native {
  const realm = globalThis as { [OWNERS]?: WeakMap<Native, unknown> };
  realm[OWNERS] ??= new WeakMap();
  const owner = realm[OWNERS].get(addon) ?? native;
  if (owner !== native) {
    const details = { reason: "loaded-twice", remedy: REMEDIES["loaded-twice"] };
    throw new AmpouleError(
      "ERR_AMPOULE_NO_BINDING",
      `the native binding is taken by another copy of Ampoule: ${details.remedy}`,
      { details },
    );
  }
  realm[OWNERS].set(addon, native);
  return addon;
}

type Generated = typeof import("#native");

function load(): Native {
  try {
    // Does not compile when the generated declarations and the interface above drift apart.
    return createRequire(import.meta.url)("#native") as Generated;
  } catch (cause) {
    const platform = `${process.platform}-${process.arch}`;
    const reason = platform === "linux-x64" ? reasonOf(cause) : "platform";
    const details = { reason, remedy: REMEDIES[reason] };
    throw new AmpouleError(
      "ERR_AMPOULE_NO_BINDING",
      `the native binding for ${platform} cannot be loaded: ${details.remedy}`,
      { cause, details },
    );
  }
}

const REMEDIES = {
  bundled:
    "Ampoule was put into a bundle, which cannot hold it; mark the package `ampoule` as external " +
    "(esbuild: `--external:ampoule`) and install it where the bundle runs; see docs/recipes/bundlers.md",
  platform: "Ampoule runs on Linux on x86-64 with glibc",
  installation:
    "install optional dependencies too (the package @ampoule/binding-linux-x64-gnu is missing, " +
    "broken, or needs a newer glibc: `error.cause` tells)",
  "loaded-twice":
    "this thread has it as an ES module and as CommonJS, or in a bundle and outside; load it in one " +
    "way (docs/recipes/bundlers.md)",
} as const;

/** Of this package's own names, the binding's is not there: the code runs from somewhere else. */
function reasonOf(cause: unknown): "bundled" | "installation" {
  const { code, message } = cause as NodeJS.ErrnoException;
  const isForeign =
    // Bundles in CommonJS have no `import.meta.url`.
    code === "ERR_INVALID_ARG_VALUE" ||
    code === "ERR_PACKAGE_IMPORT_NOT_DEFINED" ||
    (code === "MODULE_NOT_FOUND" && message.includes("'#native'"));
  return isForeign ? "bundled" : "installation";
}
