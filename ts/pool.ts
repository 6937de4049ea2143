import { inspect } from "node:util";
import type { Calls, GuestDeclaration, UndeclaredGuest } from "./guest.js";
import type { GuestInterface } from "./interface.js";
import { LazyTables } from "./internal/functions/lazy-table.js";
import { findExport, makeTable, rejects } from "./internal/functions/tables.js";
import {
  checkSignal,
  describeType,
  invalid,
  readOptions,
  refuseConstruction,
} from "./internal/options/checks.js";
import { PoolCalls } from "./internal/pool/calls.js";
import { Members } from "./internal/pool/members.js";
import { resolvePool } from "./internal/pool/options.js";
import { type PooledSandbox, PoolSource } from "./internal/pool/sandbox.js";
import { Tenancy } from "./internal/pool/tenancy.js";
import { type Shown, show } from "./internal/show.js";
import { refuseAborted } from "./internal/signals.js";
import { meterPool } from "./internal/telemetry/metrics.js";
import { type Lease, makeLease } from "./lease.js";
import type { PoolOptions } from "./sandbox-options.js";

/** Whoever has it may construct. */
const CONSTRUCT = Symbol();

/** Options of {@link Pool.acquire}. */
export interface AcquireOptions {
  /** Stops waiting. Has no effect on the lease once there is one. */
  readonly signal?: AbortSignal;
}

/** Options of {@link Pool.close}. */
export interface CloseOptions {
  /** Whether to stop what runs instead of waiting for it. @defaultValue false */
  readonly force?: boolean;
}

/** What a pool has now, and what it has done. */
export interface PoolStatistics {
  /** Sandboxes there are: `idle`, `busy` and `restoring` ones. */
  readonly size: number;
  /** Clean ones that wait for a caller. */
  readonly idle: number;
  /** Those that run a call, or are leased. */
  readonly busy: number;
  /** Those that are restored after a caller. */
  readonly restoring: number;
  /** Sandboxes that are being made; not part of `size` yet. */
  readonly creating: number;
  /** Callers that wait for a sandbox. */
  readonly queued: number;
  /** Calls of `pool.call` that were begun. */
  readonly calls: number;
  /** Leases that were given out. */
  readonly leases: number;
  /** Restores that went well. */
  readonly restores: number;
  /** Sandboxes that were closed because they could not be restored. */
  readonly replaced: number;
  /** Callers that were told that the pool is full. */
  readonly rejected: number;
  /** Sandboxes that were made. */
  readonly created: number;
  /** Attempts to make one that failed. */
  readonly failedCreations: number;
  /** Milliseconds that callers who got a sandbox had waited for it, together. */
  readonly waitedMs: number;
  /** The longest that one of them had waited. */
  readonly longestWaitMs: number;
}

/**
 * Clean sandboxes of one guest, ready to be called. Every caller gets one in the state the guest was
 * in when it was ready (or when the snapshot was taken); what a caller leaves behind, memory, files
 * or a wreck, is gone before the next one comes. Going back happens after the answer was delivered.
 *
 * A pool nobody uses does not keep the process alive.
 *
 * @typeParam G - the guest's declaration, written by `ampoule types`.
 */
export class Pool<G extends GuestDeclaration = UndeclaredGuest> {
  /** The guest's functions, each call in a clean sandbox of its own; options as in `sandbox.call`. */
  readonly call: Calls<G>;
  /** What the guest says about itself. */
  readonly interface: GuestInterface;
  /** The name of the sandboxes. */
  readonly name: string;
  readonly #source: PoolSource;
  readonly #members: Members<PooledSandbox>;
  readonly #calls: PoolCalls;
  readonly #tables: LazyTables;
  readonly #unmeter: () => void;
  #leases = 0;

  /** @internal Use {@link Pool.create}. */
  private constructor(source: PoolSource, members: Members<PooledSandbox>, key: symbol) {
    refuseConstruction(key, CONSTRUCT, "Pool", "Pool.create()");
    const { exports, messageLimits } = source;
    const calls = new PoolCalls(members, source.name, messageLimits);
    this.call = makeTable(
      exports,
      rejects,
      (each) =>
        (...args) =>
          each.call(calls, args),
    ) as Calls<G>;
    this.interface = source.interface;
    this.name = source.name;
    this.#source = source;
    this.#members = members;
    this.#calls = calls;
    this.#tables = new LazyTables(exports);
    this.#unmeter = meterPool(source.name, members);
  }

  /**
   * Starts the guest once, takes a snapshot, and makes `size.min` sandboxes from that. With the option
   * `snapshot` the pool opens a handle of its own, so the one given may be closed.
   *
   * @throws AmpouleError as `Sandbox.create` does.
   */
  static async create<G extends GuestDeclaration = UndeclaredGuest>(
    options: PoolOptions<G>,
  ): Promise<Pool<G>> {
    const { bounds, sandboxes } = resolvePool(options);
    const source = await PoolSource.open(sandboxes);
    const members = new Members(source.name, bounds, () => source.make());
    try {
      members.adopt(source.first);
      await members.fill();
      return new Pool<G>(source, members, CONSTRUCT);
    } catch (error) {
      await members.close(true);
      source.close();
      throw error;
    }
  }

  /**
   * Calls the function of that name, as `pool.call[name](...args)` does, whatever the name is.
   *
   * @throws AmpouleError `ERR_AMPOULE_UNKNOWN_FUNCTION`, and as functions of {@link call}.
   */
  async invoke<Name extends keyof G["exports"] & string>(
    name: Name,
    ...args: Parameters<Calls<G>[Name]>
  ): Promise<ReturnType<G["exports"][Name]>> {
    const found = findExport(this.#source.exports, name);
    return (await found.call(this.#calls, args)) as ReturnType<G["exports"][Name]>;
  }

  /** What the pool has and has done, as a copy that does not change. */
  get statistics(): PoolStatistics {
    const counts = this.#members.counts;
    const size = counts.idle + counts.busy + counts.restoring;
    return Object.freeze({ size, ...counts, calls: this.#calls.count, leases: this.#leases });
  }

  /**
   * Takes a clean sandbox for several calls. Waits, as calls do, while there is none.
   *
   * @throws AmpouleError `ERR_AMPOULE_QUEUE_FULL`, `ERR_AMPOULE_CLOSED`, `ERR_AMPOULE_ABORTED`, and
   * what `Sandbox.create` throws when no sandbox can be made.
   */
  async acquire(options?: AcquireOptions): Promise<Lease<G>> {
    // Reading what is not there would take a fifth of what an idle sandbox takes.
    const signal =
      options === undefined ? undefined : readOptions(options, "options", ["signal"]).signal;
    checkSignal(signal);
    refuseAborted(signal, "acquire");
    this.#members.refuseIfClosed();
    this.#members.refuseIfFull();
    const member =
      this.#members.take() ??
      (await new Promise<PooledSandbox>((begin, refuse) => {
        this.#members.wait({ what: "acquire", signal, begin, refuse });
      }));
    this.#leases++;
    const tenancy = new Tenancy(this.#members, member);
    return makeLease<G>(tenancy, this.#tables, this.interface);
  }

  /**
   * Resolves as soon as nobody waits, and no sandbox is in use, being restored or being made. Work
   * that comes in meanwhile is taken, and waited for too.
   */
  async drain(): Promise<void> {
    await this.#members.drain();
  }

  /**
   * Ends the pool: takes no more work (`ERR_AMPOULE_CLOSED`), waits until all that is queued, running
   * or leased is done, and closes every sandbox. With `force` it waits for nobody: queued and running
   * calls and leases fail with `ERR_AMPOULE_CLOSED`. Can be called any number of times, also with
   * `force` after without.
   */
  async close(options: CloseOptions = {}): Promise<void> {
    const { force = false } = readOptions(options, "options", ["force"]);
    if (typeof force !== "boolean") {
      throw invalid("force", `must be a boolean, got ${describeType(force)}`);
    }
    await this.#members.close(force);
    this.#unmeter();
    this.#source.close();
  }

  /** Calls {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal What `console.log` shows. */
  [inspect.custom](...how: Shown): string {
    const { size, idle, busy, queued } = this.statistics;
    return show("Pool", { name: this.name, size, idle, busy, queued }, how);
  }
}
