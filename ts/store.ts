/** Stores: snapshots on disk, in the OCI image layout. */

import type { ErrorCode } from "./error-codes.js";
import type { ErrorDetails } from "./error-details.js";
import { native } from "./internal/native/native.js";
import { readOptions } from "./internal/options/checks.js";
import { inStore, storePath, storeTag } from "./internal/store.js";

/** What every operation on a store takes. */
export interface StoreOptions {
  /** Cancels; the store is then as it was. */
  readonly signal?: AbortSignal;
}

/** How a snapshot is saved. */
export interface SaveOptions extends StoreOptions {
  /**
   * The name to load it by: letters and digits with `-._:@/+` between them, at most 128. Whatever had
   * the name loses it.
   * @defaultValue "latest"
   */
  readonly tag?: string;
  /** What to keep with it: at most 256 entries of 64 KiB together. @defaultValue {} */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Which snapshot is loaded, and how. */
export interface LoadOptions extends StoreOptions {
  /** The name it was saved by. @defaultValue "latest" */
  readonly tag?: string;
  /**
   * Whether to check the digests of memory, which reads all of it. Everything else is always checked,
   * page tables among it.
   * @defaultValue true
   */
  readonly verify?: boolean;
}

/** A blob that a snapshot is made of. */
export interface SavedLayer {
  /** `base` is memory, `pages` what of it differs from its base. */
  readonly kind: "base" | "pages" | "interface" | "executable" | "file";
  /** As `sha256:` and 64 hexadecimal digits. */
  readonly digest: string;
  /** Its length; pages of zeros take no space on disk. */
  readonly bytes: number;
}

/** What `snapshot.save` has done. */
export interface SavedSnapshot {
  /** Digest of the snapshot's manifest. */
  readonly digest: string;
  readonly tag: string;
  /** Bytes of blobs that the store did not have before. */
  readonly newBytes: number;
  readonly layers: readonly SavedLayer[];
}

/** What a store says about a snapshot. */
export interface StoredSnapshot {
  readonly tag: string;
  /** Digest of its manifest. */
  readonly digest: string;
  /** Version of the store's format. */
  readonly format: number;
  /** Name of the guest. */
  readonly name: string;
  /** The guest ABI of the release that saved it. */
  readonly abiVersion: string;
  readonly architecture: string;
  /** What a processor must have to run it. */
  readonly processor: {
    readonly hypervisor: string;
    /** CPUID words by leaf, subleaf and register. */
    readonly cpuid: Readonly<Record<string, string>>;
    readonly xcr0: string;
    readonly components: readonly (readonly [number, number, number])[];
    /** Frequency of the time-stamp counter where it was saved, in Hz. */
    readonly tscFrequency: number | null;
  };
  readonly exports: readonly string[];
  /** Host functions that a sandbox made from it needs. */
  readonly requiredHostFunctions: readonly string[];
  /** `null`: no limit. */
  readonly limits: {
    readonly memoryBytes: number;
    readonly stackBytes: number;
    readonly messageBytes: number;
    readonly outputBytes: number | null;
    readonly hostCalls: number | null;
    readonly depth: number;
    readonly items: number;
  };
  /** Bytes of guest memory that it holds, page tables included. */
  readonly memoryBytes: number;
  readonly metadata: Readonly<Record<string, string>>;
  readonly layers: readonly SavedLayer[];
}

/** Whether a snapshot of a store is sound. */
export interface StoreFinding {
  readonly tag: string;
  readonly digest: string;
  /** What is wrong with it; `null` if nothing is. */
  readonly problem: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly details: ErrorDetails;
  } | null;
}

/** What {@link pruneStore} removed. */
export interface PrunedStore {
  readonly blobs: number;
  readonly bytes: number;
}

/**
 * Tells what snapshots are in the store at `path`. Memory is not read.
 *
 * @throws AmpouleError `ERR_AMPOULE_SNAPSHOT_NOT_FOUND`, `ERR_AMPOULE_CORRUPT_SNAPSHOT`,
 * `ERR_AMPOULE_STORE`
 */
export async function inspectStore(
  path: string | URL,
  options: StoreOptions = {},
): Promise<readonly StoredSnapshot[]> {
  const store = storePath(path);
  const found = await inStore(`reading ${store}`, signalOf(options), (operation) =>
    native().inspectStore(operation, store),
  );
  return found as StoredSnapshot[];
}

/** @internal What is in the store about one tag. */
export async function inspectTag(path: string, tag: string): Promise<StoredSnapshot> {
  const found = await inStore(`reading ${path}`, undefined, (operation) =>
    native().inspectStore(operation, path, storeTag(tag)),
  );
  return found as StoredSnapshot;
}

/**
 * Checks every snapshot of the store at `path`: all digests, and every document. Reads all of it.
 *
 * @throws AmpouleError as {@link inspectStore}, if the store itself cannot be read.
 */
export async function verifyStore(
  path: string | URL,
  options: StoreOptions = {},
): Promise<readonly StoreFinding[]> {
  const store = storePath(path);
  const found = await inStore(`verifying ${store}`, signalOf(options), (operation) =>
    native().verifyStore(operation, store),
  );
  return found as StoreFinding[];
}

/**
 * Removes what no snapshot in the store at `path` needs. Waits until nobody saves to it.
 *
 * @throws AmpouleError as {@link inspectStore}. Nothing is removed when a manifest cannot be read.
 */
export async function pruneStore(
  path: string | URL,
  options: StoreOptions = {},
): Promise<PrunedStore> {
  const store = storePath(path);
  const pruned = await inStore(`pruning ${store}`, signalOf(options), (operation) =>
    native().pruneStore(operation, store),
  );
  return pruned as PrunedStore;
}

function signalOf(options: StoreOptions): AbortSignal | undefined {
  return readOptions(options, "options", ["signal"]).signal;
}
