import { AmpouleError } from "./errors.js";
import type {
  Calls,
  GuestDeclaration,
  HostFunctionsOption,
  SyncCalls,
  UndeclaredGuest,
} from "./guest.js";
import type { TypedInterface } from "./interface.js";
import { type GuestInterface, parseInterface, publicInterface } from "./interface.js";
import { makeDriver, unlessAborted } from "./internal/create.js";
import { exited } from "./internal/failures.js";
import { checkHostFunctions, exportsOf, functionTables } from "./internal/functions.js";
import { Import } from "./internal/host.js";
import { native, StopReason } from "./internal/native.js";
import { type Driver, driverOf } from "./internal/steps.js";
import { openSink } from "./internal/streams.js";
import {
  checkKeys,
  type FileSource,
  GUEST_OPTION_KEYS,
  type GuestOptions,
  type OutputOption,
  resolveGuest,
  type Times,
} from "./options.js";
import type { SandboxState } from "./state.js";
import { type SandboxStatistics, statisticsOf } from "./statistics.js";

/** Options of {@link Sandbox.create} that do not depend on the guest's declaration. */
export interface SandboxOptions extends GuestOptions {
  /** The guest: a static x86-64 Linux executable built with the guest SDK. */
  readonly guest: FileSource;
  /** @defaultValue "inherit" */
  readonly stdout?: OutputOption;
  /** @defaultValue "inherit" */
  readonly stderr?: OutputOption;
}

/** Options of {@link Sandbox.create}. */
export type CreateOptions<G extends GuestDeclaration = UndeclaredGuest> = SandboxOptions &
  HostFunctionsOption<G>;

const OPTION_KEYS = ["guest", "hostFunctions", "stdout", "stderr", ...GUEST_OPTION_KEYS] as const;

/** Releases sandboxes that were dropped without `close()`. */
const abandoned = new FinalizationRegistry<{ handle: number; name: string }>((held) => {
  native().close(held.handle);
  process.emitWarning(
    `sandbox ${JSON.stringify(held.name)} was garbage-collected without close(); ` +
      "until then it kept a virtual machine",
    { type: "AmpouleWarning", code: "AMPOULE_UNCLOSED_SANDBOX" },
  );
});

/**
 * One running instance of a guest, in a micro-VM of its own.
 *
 * A sandbox runs one call at a time: `call` queues, in order; `callSync` refuses to wait. It is
 * `ready` or `running`, until a fault, an abort, a limit or a kill leaves it `poisoned`, or `close()`
 * ends it. An error that a guest's function *returns* does not poison.
 *
 * @typeParam G - the guest's declaration, written by `ampoule types`.
 */
export class Sandbox<G extends GuestDeclaration = UndeclaredGuest> {
  /**
   * The guest's functions. Each returns a promise and takes, behind its own arguments, optional
   * {@link CallOptions}.
   */
  readonly call: Calls<G>;
  /**
   * The guest's functions, on this thread: the event loop stands still until they return, and host
   * functions must not be asynchronous. A call costs one VM exit and no thread hop.
   */
  readonly callSync: SyncCalls<G>;
  /** What the guest says about itself. */
  readonly interface: GuestInterface;
  readonly #driver: Driver;

  /** @internal Use {@link Sandbox.create}. */
  private constructor(driver: Driver, typed: TypedInterface, times: Times) {
    const { call, callSync } = functionTables(driver, exportsOf(typed.exports, times));
    this.call = call as Calls<G>;
    this.callSync = callSync as SyncCalls<G>;
    this.interface = publicInterface(typed);
    this.#driver = driver;
    abandoned.register(driver, { handle: driver.handle, name: driver.name }, driver);
  }

  /**
   * Makes a micro-VM, starts the guest in it and waits until it is ready to be called.
   *
   * @throws AmpouleError `ERR_AMPOULE_NO_HYPERVISOR`, `ERR_AMPOULE_INVALID_GUEST`,
   * `ERR_AMPOULE_INCOMPATIBLE_GUEST`, `ERR_AMPOULE_MISSING_HOST_FUNCTION`,
   * `ERR_AMPOULE_INVALID_ARGUMENT`, and what a guest can run into while it starts.
   */
  static async create<G extends GuestDeclaration = UndeclaredGuest>(
    options: CreateOptions<G>,
  ): Promise<Sandbox<G>> {
    checkKeys(options, "options", OPTION_KEYS);
    const hostFunctions = checkHostFunctions(options.hostFunctions ?? {});
    const sinks = {
      stdout: openSink(options.stdout ?? "inherit", "stdout"),
      stderr: openSink(options.stderr ?? "inherit", "stderr"),
    };
    const guest = await unlessAborted(
      resolveGuest(options.guest, options),
      options.signal,
      "Sandbox.create",
    );
    const driver = makeDriver(guest, true, sinks);
    try {
      const typed = await driver.start({
        what: `guest ${JSON.stringify(guest.name)}`,
        times: guest.times,
        signal: guest.signal,
        finish: (ending) => {
          if (ending.kind === "exited") {
            const hint = "before it was ready; a plain program is run by run()";
            throw exited(ending.code, ending.signal, hint);
          }
          return readInterface(driver.handle);
        },
      });
      driver.imports = bindImports(typed, hostFunctions);
      return new Sandbox<G>(driver, typed, guest.times);
    } catch (error) {
      await driver.close();
      throw error;
    }
  }

  /**
   * Kills a sandbox by its {@link id}, from any thread of this process: also one whose own thread is
   * inside `callSync`. Does nothing if there is no such sandbox any more.
   */
  static kill(id: number): void {
    const driver = driverOf(id);
    if (driver === undefined) native().kill(id, StopReason.killed);
    else driver.kill();
  }

  /** Names this sandbox in the whole process, for {@link Sandbox.kill} from another thread. */
  get id(): number {
    return this.#driver.handle;
  }

  /** The name from the options. */
  get name(): string {
    return this.#driver.name;
  }

  /** Where the sandbox is in its life. */
  get state(): SandboxState {
    return this.#driver.state;
  }

  /** What poisoned the sandbox; `null` unless it is poisoned. */
  get failure(): AmpouleError | null {
    return this.#driver.failure;
  }

  /** What the sandbox has done so far; after `close()`, what it had done. */
  get statistics(): SandboxStatistics {
    return statisticsOf(this.#driver.statistics());
  }

  /**
   * Stops whatever runs, at once and without waiting; the call in progress rejects with
   * `ERR_AMPOULE_KILLED`. The sandbox is poisoned.
   */
  kill(): void {
    this.#driver.kill();
  }

  /**
   * Ends the sandbox and gives its VM back. A call in progress is stopped and rejects, as do queued
   * ones, with `ERR_AMPOULE_CLOSED`. Can be called any number of times, from any state.
   */
  async close(): Promise<void> {
    abandoned.unregister(this.#driver);
    await this.#driver.close();
  }

  /** Calls {@link close} without waiting for its end. */
  [Symbol.dispose](): void {
    void this.close();
  }

  /** Calls {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function readInterface(handle: number): TypedInterface {
  try {
    return parseInterface(native().interfaceJson(handle));
  } catch (cause) {
    throw new AmpouleError(
      "ERR_AMPOULE_INCOMPATIBLE_GUEST",
      `the guest's interface cannot be used: ${(cause as Error).message}`,
      { cause },
    );
  }
}

function bindImports(
  typed: TypedInterface,
  given: Readonly<Record<string, (...args: never[]) => unknown>>,
): Import[] {
  const missing = typed.imports.filter(({ name }) => !Object.hasOwn(given, name));
  if (missing.length > 0) {
    const names = missing.map(({ name }) => name);
    throw new AmpouleError(
      "ERR_AMPOULE_MISSING_HOST_FUNCTION",
      `the guest needs host functions that were not given: ${names.join(", ")}`,
      { details: { missing: names } },
    );
  }
  return typed.imports.map(
    (declared) => new Import(declared, given[declared.name] as (...args: never[]) => unknown),
  );
}
