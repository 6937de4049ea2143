import type { NativeStatistics } from "./internal/native/native.js";

/** What a sandbox has done since it was made. */
export interface SandboxStatistics {
  /** Calls of guest functions. */
  readonly calls: number;
  /** Host functions that the guest called. */
  readonly hostCalls: number;
  /** Times the virtual CPU was left, whatever for. A call without host functions costs one. */
  readonly exits: number;
  /**
   * Exits that the host asked for, while the guest ran: the end of a time slice (10 ms of an asynchronous
   * call, 50 ms of a synchronous one), a look at the CPU time of a call with a limit on it, a stop. They
   * depend on time; no other exit does.
   */
  readonly interruptions: number;
  /** Exits that gave the guest memory it touched for the first time. */
  readonly pageFaults: number;
  /** Times a guest was initialised in this sandbox: 0 if it began as a snapshot, or as its image. */
  readonly initialisations: number;
  /** Times the sandbox went back to a snapshot. */
  readonly restores: number;
  /** Pages of 4 KiB copied back by that. */
  readonly restoredPages: number;
  /** Restores that gave all memory back instead of copying pages. */
  readonly wholesaleRestores: number;
  /** System calls by name. Those that the personality does not know are answered with `ENOSYS`. */
  readonly systemCalls: Readonly<Record<string, number>>;
  /** Names of the system calls made that the personality does not know. */
  readonly unknownSystemCalls: readonly string[];
  /** Payload bytes of messages to the guest. */
  readonly bytesToGuest: number;
  /** Payload bytes of messages from the guest. */
  readonly bytesFromGuest: number;
  /** Bytes written to stdout and stderr. */
  readonly outputBytes: number;
  /** Milliseconds inside the guest, host functions and waiting excluded. */
  readonly guestTimeMs: number;
  /**
   * Milliseconds of CPU time of the guest and of the host's work for it, of the calls where it is measured: those with a limit
   * `cpuTimeMs`, and all while an OpenTelemetry SDK for metrics is registered.
   */
  readonly cpuTimeMs: number;
  /** Bytes of guest memory in use, page tables included. */
  readonly memoryBytes: number;
  /** Bytes of trace data that the guest has written. */
  readonly traceBytes: number;
  /** Spans, events and other records in there. */
  readonly traceEvents: number;
  /** Events that the guest could not write, or that were not valid. */
  readonly traceDropped: number;
}

/** The public form of the native counters. */
export function statisticsOf(from: NativeStatistics): SandboxStatistics {
  const { systemCalls, ...counters } = from;
  return Object.freeze({
    ...counters,
    systemCalls: Object.freeze(
      Object.assign(
        Object.create(null) as Record<string, number>,
        Object.fromEntries(systemCalls.map(({ name, count }) => [name, count])),
      ),
    ),
    unknownSystemCalls: Object.freeze(
      systemCalls.filter(({ answered }) => !answered).map(({ name }) => name),
    ),
  });
}
