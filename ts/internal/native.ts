/**
 * The native binding, as TypeScript sees it. It converts and does nothing else: no defaults, no
 * policy, and failures come as data. Loaded at first use, so that importing Ampoule has no effect
 * and works on every platform.
 */
import { createRequire } from "node:module";
import type { ErrorCode } from "../error-codes.js";
import { AmpouleError, type ErrorDetails } from "../errors.js";

/** A failure as data; `code` is one of the public codes. */
export interface NativeFailure {
  code: string;
  message: string;
  details: ErrorDetails;
}

/** What `create` needs: everything resolved, sizes in bytes. `Infinity` stands for no limit. */
export interface NativeConfig {
  name: string;
  executable: Uint8Array;
  arguments: string[];
  environment: string[];
  files: { path: string; contents: Uint8Array }[];
  memoryBytes: number;
  stackBytes: number;
  messageBytes: number;
  outputBytes: number;
  hostCalls: number;
  valueDepth: number;
  /** Whether the guest gets a channel; without one it runs as a plain program. */
  channel: boolean;
}

/** Counters of one sandbox since its creation. */
export interface NativeStatistics {
  calls: number;
  hostCalls: number;
  exits: number;
  pageFaults: number;
  systemCalls: { name: string; count: number; answered: boolean }[];
  bytesToGuest: number;
  bytesFromGuest: number;
  outputBytes: number;
  guestTimeMs: number;
  memoryBytes: number;
}

/** What this machine offers. */
export interface NativeProbe {
  backend: string;
  usable: boolean;
  checks: { name: string; outcome: "ok" | "warning" | "failed"; detail: string; remedy: string }[];
}

/** What is in an ELF file. */
export interface NativeElf {
  kind: string;
  entry: string;
  segments: { address: string; memoryBytes: number; fileBytes: number; protection: string }[];
  symbols: boolean;
  memoryBytes: number;
}

/** The binding's functions. */
export interface Native {
  /**
   * The buffer through which payloads cross, one for each JavaScript thread. Returns the present one
   * if it has at least `minimumBytes`, else another one; a payload that did not fit is then in it.
   */
  staging(minimumBytes: number): Uint8Array;
  create(config: NativeConfig): { handle?: number; error?: NativeFailure };
  startAsync(handle: number, timeoutMs: number, cpuTimeMs: number): void;
  callSync(
    handle: number,
    functionId: number,
    length: number,
    timeoutMs: number,
    cpuTimeMs: number,
  ): number;
  resumeSync(handle: number, resumption: number, length: number): number;
  callAsync(
    handle: number,
    functionId: number,
    length: number,
    timeoutMs: number,
    cpuTimeMs: number,
  ): void;
  resumeAsync(handle: number, resumption: number, length: number): void;
  /** The handler is called with a handle whenever `takeStep` has something for it. */
  onStep(handler: (handle: number) => void): void;
  takeStep(handle: number): number;
  takeOutput(handle: number, stream: number): Uint8Array;
  /** Why a `stopped` step happened. */
  stopped(handle: number): NativeFailure;
  /** How the program ended, after an `exited` step; the number of the signal that did it, or 0. */
  exit(handle: number): { code: number; signal: number };
  /**
   * Stops a sandbox of any JavaScript thread. If a call is in progress, its next step is `stopped`,
   * also when the host has yet to answer the step before.
   */
  kill(handle: number, reason: number): void;
  interfaceJson(handle: number): string;
  statistics(handle: number): NativeStatistics;
  close(handle: number): void;
  probe(): NativeProbe;
  inspectElf(executable: Uint8Array): { elf?: NativeElf; error?: NativeFailure };
}

// Fails to compile when the generated declarations and the interface above drift apart.
type Generated = typeof import("#native");
type Check<T extends Native> = T;
export type CheckedNative = Check<Generated>;

/** Kinds of steps. */
export const Step = {
  ready: 0,
  return: 1,
  guestError: 2,
  hostCall: 3,
  output: 4,
  input: 5,
  exited: 6,
  stopped: 7,
} as const;

/** How a step is answered. */
export const Resumption = {
  hostReturn: 0,
  hostError: 1,
  input: 2,
  endOfInput: 3,
  continue: 4,
} as const;

/** Why a sandbox is stopped from outside. */
export const StopReason = { killed: 0, aborted: 1, closed: 2 } as const;

// A step is one number: kind in 4 bits, output pending in 1, function in 16, length in 32.
const LOW = 2 ** 21;

/** The kind of a step. */
export const stepKind = (step: number): number => (step % LOW) & 0xf;
/** Whether the guest has written output that has not been taken. */
export const stepHasOutput = (step: number): boolean => ((step % LOW) & 0x10) !== 0;
/** The host function of a `hostCall`. */
export const stepFunction = (step: number): number => (step % LOW) >>> 5;
/** Payload bytes in the staging buffer, or bytes wanted of an `input`. */
export const stepLength = (step: number): number => (step - (step % LOW)) / LOW;

let loaded: Native | undefined;

/** The binding. Throws `ERR_AMPOULE_NO_HYPERVISOR` where there is none for this platform. */
export function native(): Native {
  loaded ??= load();
  return loaded;
}

function load(): Native {
  try {
    return createRequire(import.meta.url)("#native") as Native;
  } catch (cause) {
    const platform = `${process.platform}-${process.arch}`;
    const remedy =
      platform === "linux-x64"
        ? "install optional dependencies too (the package @ampoule/binding-linux-x64-gnu is missing or broken)"
        : "Ampoule runs on Linux on x86-64";
    throw new AmpouleError(
      "ERR_AMPOULE_NO_HYPERVISOR",
      `the native binding for ${platform} cannot be loaded: ${remedy}`,
      { cause },
    );
  }
}

/** A failure's code, if it is one that this release knows. */
export function failureCode(failure: NativeFailure): ErrorCode {
  return failure.code as ErrorCode;
}
