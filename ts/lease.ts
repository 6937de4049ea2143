import { inspect } from "node:util";
import type { AmpouleError } from "./errors.js";
import type { Calls, GuestDeclaration, SyncCalls, UndeclaredGuest } from "./guest.js";
import type { GuestInterface } from "./interface.js";
import type { LazyTables } from "./internal/functions/lazy-table.js";
import { findExport, rejects, throws } from "./internal/functions/tables.js";
import { refuseConstruction } from "./internal/options/checks.js";
import type { Tenancy } from "./internal/pool/tenancy.js";
import { type Shown, show } from "./internal/show.js";
import type { SandboxState } from "./state.js";
import { type SandboxStatistics, statisticsOf } from "./statistics.js";

/** Whoever has it may construct. */
const CONSTRUCT = Symbol();

/** @internal The lease of what `tenancy` is of; no part of the package's API. */
export let makeLease: <G extends GuestDeclaration>(
  tenancy: Tenancy,
  tables: LazyTables,
  description: GuestInterface,
) => Lease<G>;

/**
 * The sandbox of a {@link Lease}. Like a `Sandbox` to call, and without what is the pool's to do:
 * it cannot be closed, snapshotted or restored.
 *
 * @typeParam G - the guest's declaration, written by `ampoule types`.
 */
export class LeasedSandbox<G extends GuestDeclaration = UndeclaredGuest> {
  /** What the guest says about itself. */
  readonly interface: GuestInterface;
  readonly #tenancy: Tenancy;
  readonly #tables: LazyTables;
  #call: Calls<G> | undefined;
  #callSync: SyncCalls<G> | undefined;

  /** @internal Use `Pool.acquire`. */
  constructor(tenancy: Tenancy, tables: LazyTables, description: GuestInterface, key: symbol) {
    refuseConstruction(key, CONSTRUCT, "LeasedSandbox", "pool.acquire()");
    this.#tenancy = tenancy;
    this.#tables = tables;
    this.interface = description;
  }

  // The tables belong to the lease, so that a function that was kept dies with it.

  /** The guest's functions, as `sandbox.call`. Once the lease is released they only throw. */
  get call(): Calls<G> {
    this.#call ??= this.#tables.make(
      rejects,
      (each) =>
        (...args) =>
          each.call(this.#tenancy, args),
    ) as Calls<G>;
    return this.#call;
  }

  /** The guest's functions, as `sandbox.callSync`. Once the lease is released they only throw. */
  get callSync(): SyncCalls<G> {
    this.#callSync ??= this.#tables.make(
      throws,
      (each) =>
        (...args) =>
          each.callSync(this.#tenancy, args),
    ) as SyncCalls<G>;
    return this.#callSync;
  }

  /** Calls the function of that name, whatever the name is; as `sandbox.invoke`. */
  async invoke<Name extends keyof G["exports"] & string>(
    name: Name,
    ...args: Parameters<Calls<G>[Name]>
  ): Promise<ReturnType<G["exports"][Name]>> {
    const found = findExport(this.#tables.exports, name);
    return (await found.call(this.#tenancy, args)) as ReturnType<G["exports"][Name]>;
  }

  /** {@link invoke} on this thread; as `sandbox.invokeSync`. */
  invokeSync<Name extends keyof G["exports"] & string>(
    name: Name,
    ...args: Parameters<SyncCalls<G>[Name]>
  ): ReturnType<G["exports"][Name]> {
    const found = findExport(this.#tables.exports, name);
    return found.callSync(this.#tenancy, args) as ReturnType<G["exports"][Name]>;
  }

  /** Names this sandbox in the whole process, for `Sandbox.kill` from another thread. */
  get id(): number {
    return this.#tenancy.sandbox.driver.handle;
  }

  /** The name from the options of the pool. */
  get name(): string {
    return this.#tenancy.sandbox.driver.name;
  }

  /** Where the sandbox is in its life; `closed` once the lease is released. */
  get state(): SandboxState {
    return this.#tenancy.isReleased ? "closed" : this.#tenancy.sandbox.driver.state;
  }

  /** What poisoned the sandbox during this lease; `null` unless it is poisoned. */
  get failure(): AmpouleError | null {
    return this.#tenancy.isReleased ? null : this.#tenancy.sandbox.driver.failure;
  }

  /** What the sandbox has done since it was made, also for those who had it before. */
  get statistics(): SandboxStatistics {
    return statisticsOf(this.#tenancy.sandbox.driver.statistics());
  }

  /**
   * Stops whatever runs, at once and without waiting; the call in progress rejects with
   * `ERR_AMPOULE_KILLED`. The sandbox is poisoned until the lease is released.
   */
  kill(): void {
    this.#tenancy.kill();
  }

  /** @internal What `console.log` shows. */
  [inspect.custom](...how: Shown): string {
    const { state } = this;
    return show("LeasedSandbox", { name: this.#tenancy.name, state }, how);
  }
}

/**
 * A clean sandbox of a pool, for several calls that build on each other. Nobody else has the sandbox
 * until {@link release}; then it is restored and goes to the next caller, and whatever was kept of
 * this lease throws `ERR_AMPOULE_CLOSED`.
 *
 * @typeParam G - the guest's declaration, written by `ampoule types`.
 */
export class Lease<G extends GuestDeclaration = UndeclaredGuest> {
  /** The sandbox. */
  readonly sandbox: LeasedSandbox<G>;
  readonly #tenancy: Tenancy;

  static {
    makeLease = (tenancy, tables, description) =>
      new Lease(
        tenancy,
        new LeasedSandbox(tenancy, tables, description, CONSTRUCT),
        CONSTRUCT,
      ) as never;
  }

  /** @internal Use `Pool.acquire`. */
  constructor(tenancy: Tenancy, sandbox: LeasedSandbox<G>, key: symbol) {
    refuseConstruction(key, CONSTRUCT, "Lease", "pool.acquire()");
    this.#tenancy = tenancy;
    this.sandbox = sandbox;
  }

  /** Whether the sandbox was given back. */
  get released(): boolean {
    return this.#tenancy.isReleased;
  }

  /**
   * Gives the sandbox back. Calls that still run in it, and those queued behind them, are stopped and
   * reject with `ERR_AMPOULE_KILLED` or `ERR_AMPOULE_POISONED`. Can be called any number of times.
   */
  release(): void {
    this.#tenancy.release();
  }

  /** Calls {@link release}. */
  [Symbol.dispose](): void {
    this.release();
  }

  /** Calls {@link release}; the sandbox is restored later, which nobody needs to wait for. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
  }

  /** @internal What `console.log` shows. */
  [inspect.custom](...how: Shown): string {
    return show("Lease", { sandbox: this.#tenancy.name, released: this.released }, how);
  }
}
