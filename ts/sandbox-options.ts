/** What users can say about sandboxes and pools. What is made of it: `internal/options/`. */
import type {
  GuestDeclaration,
  HostFunctions,
  HostFunctionsOption,
  UndeclaredGuest,
} from "./guest.js";
import type { GuestLog } from "./guest-log.js";
import type {
  ExecutableSource,
  GuestOptions,
  InstanceOptions,
  OutputOption,
  TraceOption,
} from "./options.js";
import type { Snapshot } from "./snapshot.js";

/** Options of every sandbox that do not depend on the guest's declaration. */
interface AnySandboxOptions {
  /** Where the guest's stdout goes. @defaultValue "print" */
  readonly stdout?: OutputOption;
  /** Where the guest's stderr goes. @defaultValue "print" */
  readonly stderr?: OutputOption;
  /**
   * `"after-call"`: every call, also one that fails, is followed by a restore to what the sandbox was
   * made from before it settles, so that no call finds anything of another. Only `kill()` poisons.
   * @defaultValue "never"
   */
  readonly restore?: "never" | "after-call";
  /**
   * What of the guest is traced during calls that an OpenTelemetry SDK records, and for
   * {@link onLog}; see `docs/tracing.md`.
   * @defaultValue "info"
   */
  readonly trace?: TraceOption;
  /**
   * Gets every event and log record of the guest that `trace` lets through, with or without an
   * OpenTelemetry SDK. It runs while the guest waits, or behind the call. What it throws is no error of
   * the call, but a process warning, once.
   */
  readonly onLog?: (record: GuestLog) => void;
}

/** Options of {@link Sandbox.create} with a guest, as far as they do not depend on its declaration. */
export interface SandboxOptions extends GuestOptions, AnySandboxOptions {
  /** The guest: a static x86-64 Linux executable built with the guest SDK. */
  readonly guest: ExecutableSource;
  readonly snapshot?: never;
}

/**
 * Options of {@link Sandbox.create} with a snapshot. What the guest can see of its start is part of
 * the snapshot: its memory, arguments, environment, files, and the size of its stack and messages.
 */
export interface SnapshotOptions<G extends GuestDeclaration = UndeclaredGuest>
  extends InstanceOptions,
    AnySandboxOptions {
  /** What the sandbox begins as. The handle can be closed as soon as `create` has resolved. */
  readonly snapshot: Snapshot<G>;
  readonly guest?: never;
  readonly memory?: never;
  readonly args?: never;
  readonly env?: never;
  readonly files?: never;
}

/** Options of {@link Sandbox.create}. */
export type CreateOptions<G extends GuestDeclaration = UndeclaredGuest> = (
  | SandboxOptions
  | SnapshotOptions<G>
) &
  HostFunctionsOption<G>;

/** Options of {@link Sandbox.fork}; what is absent is as in the sandbox that is forked. */
export type ForkOptions<G extends GuestDeclaration = UndeclaredGuest> = Partial<
  Omit<SnapshotOptions<G>, "snapshot">
> & {
  readonly hostFunctions?: HostFunctions<G>;
};

/** How many sandboxes a pool has. */
export interface PoolSize {
  /** Sandboxes that are always there, used or not. @defaultValue 1 */
  readonly min?: number;
  /** The most there can be. @defaultValue the number of CPUs, at least `min` */
  readonly max?: number;
}

/** Options of {@link Pool.create} beyond those of its sandboxes. */
export interface PoolSettings {
  /** A number for as many all the time. @defaultValue `{ min: 1, max: <number of CPUs> }` */
  readonly size?: number | PoolSize;
  /**
   * Callers that may wait until a sandbox that others use is free. Those for whom a sandbox is being
   * restored or can be made do not count. `Infinity` for no limit.
   * @defaultValue 1000
   */
  readonly maxQueue?: number;
  /**
   * What becomes of a caller who finds `maxQueue` others waiting: `"reject"` fails at once with
   * `ERR_AMPOULE_QUEUE_FULL`; `"wait"` lets everybody wait, without limit, and leaves no meaning to
   * `maxQueue`.
   * @defaultValue "reject"
   */
  readonly whenFull?: "wait" | "reject";
  /**
   * Milliseconds after which a sandbox above `size.min` that nobody used is closed. `Infinity` for
   * never.
   * @defaultValue 30000
   */
  readonly idleMs?: number;
}

/** Options of {@link Pool.create}: its own, and those of the sandboxes. */
export type PoolOptions<G extends GuestDeclaration = UndeclaredGuest> = PoolSettings &
  CreateOptions<G> & { readonly restore?: never };
