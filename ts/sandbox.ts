import { inspect } from "node:util";
import { AmpouleError, GuestExitedError } from "./errors.js";
import type {
  Calls,
  GuestDeclaration,
  HostFunctions,
  HostFunctionsOption,
  SyncCalls,
  UndeclaredGuest,
} from "./guest.js";
import type { GuestLog } from "./guest-log.js";
import type { GuestInterface } from "./interface.js";
import {
  makeDriver,
  makeDriverFrom,
  type Surroundings,
  unlessAborted,
} from "./internal/driver/create.js";
import { type Driver, driverOf } from "./internal/driver/driver.js";
import { openSink } from "./internal/driver/outputs.js";
import { Printer } from "./internal/driver/print.js";
import { exited } from "./internal/failures.js";
import { type Export, exportsOf } from "./internal/functions/exports.js";
import { HostFunctions as GivenFunctions } from "./internal/functions/host-functions.js";
import { interfaceOf, type ParsedInterface } from "./internal/functions/interfaces.js";
import { findExport, makeTable, rejects, throws } from "./internal/functions/tables.js";
import { native } from "./internal/native/native.js";
import { StopReason } from "./internal/native/numbers.js";
import { checkId, readOptions, refuseConstruction } from "./internal/options/checks.js";
import { type Shown, show } from "./internal/show.js";
import { announcedRestore, CREATIONS, RESTORES } from "./internal/telemetry/channels.js";
import { DEFAULT_DIRECTIVES, resolveTrace } from "./internal/telemetry/directives.js";
import { resolveOnLog } from "./internal/telemetry/logs.js";
import {
  Operation,
  type OperationName,
  recorded,
  recordedSync,
} from "./internal/telemetry/operations.js";
import {
  originOf,
  snapshotClosed,
  snapshotMadeBy,
  snapshotOpened,
} from "./internal/telemetry/origins.js";
import type { TelemetrySettings } from "./internal/telemetry/sandbox.js";
import { forget } from "./internal/thenable.js";
import {
  checkName,
  type ExecutableSource,
  GUEST_OPTION_KEYS,
  type GuestOptions,
  INSTANCE_LIMIT_KEYS,
  type InstanceLimits,
  type InstanceOptions,
  type Limits,
  nameOfGuest,
  type OutputOption,
  type ResolvedInstance,
  refuseImageOptions,
  resolveGuest,
  resolveInstance,
  resolveRestore,
  type Times,
  type TraceOption,
} from "./options.js";
import { handleOf, idOfSnapshot, nameOfSnapshot, openInfo, type Snapshot } from "./snapshot.js";
import type { SandboxState } from "./state.js";
import { type SandboxStatistics, statisticsOf } from "./statistics.js";

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

const FORK_KEYS = [
  "hostFunctions",
  "stdout",
  "stderr",
  "restore",
  "trace",
  "onLog",
  "limits",
  "stdin",
  "name",
  "signal",
] as const;
/** The keys of {@link CreateOptions}. */
export const OPTION_KEYS = [
  "guest",
  "snapshot",
  "hostFunctions",
  "stdout",
  "stderr",
  "restore",
  "trace",
  "onLog",
  ...GUEST_OPTION_KEYS,
] as const;

/** Releases sandboxes that were dropped without `close()`. */
const abandoned = new FinalizationRegistry<{ handle: number; name: string }>((held) => {
  native().close(held.handle);
  process.emitWarning(
    `sandbox ${JSON.stringify(held.name)} was garbage-collected without close(); ` +
      "until then it kept a virtual machine",
    { type: "AmpouleWarning", code: "AMPOULE_UNCLOSED_SANDBOX" },
  );
});

/** Whoever has it may construct. */
const CONSTRUCT = Symbol();

/** @internal What a pool needs of a sandbox; no part of the package's API. */
export let partsOf: (sandbox: Sandbox) => {
  readonly driver: Driver;
  readonly exports: readonly Export[];
};

/**
 * One running instance of a guest, in a micro-VM of its own.
 *
 * A sandbox runs one call at a time: `call` queues, in order; `callSync` refuses to wait. It is
 * `ready` or `running`, until a fault, an abort, a limit or a kill leaves it `poisoned`, or `close()`
 * ends it. An error that a guest's function *returns* does not poison. `restore()` makes it `ready`
 * again.
 *
 * @typeParam G - the guest's declaration, written by `ampoule types`.
 */
export class Sandbox<G extends GuestDeclaration = UndeclaredGuest> {
  /** What the guest says about itself. */
  readonly interface: GuestInterface;
  readonly #driver: Driver;
  readonly #exports: readonly Export[];
  // Made at the first use: most sandboxes are called in one of the two ways.
  #call: Calls<G> | undefined;
  #callSync: SyncCalls<G> | undefined;
  readonly #interfaceJson: string;
  readonly #messageBytes: number;
  readonly #settings: ForkOptions<G>;

  static {
    partsOf = (sandbox) => ({ driver: sandbox.#driver, exports: sandbox.#exports });
  }

  /** @internal Use {@link Sandbox.create}. */
  private constructor(
    driver: Driver,
    parsed: ParsedInterface,
    times: Times,
    settings: ForkOptions<G>,
    key: symbol,
  ) {
    refuseConstruction(key, CONSTRUCT, "Sandbox", "Sandbox.create()");
    this.#exports = exportsOf(parsed.typed.exports, times);
    this.interface = parsed.described;
    this.#driver = driver;
    this.#interfaceJson = parsed.json;
    this.#messageBytes = native().messageBytes(driver.handle);
    this.#settings = settings;
    abandoned.register(driver, { handle: driver.handle, name: driver.name }, driver);
  }

  /**
   * Makes a micro-VM and waits until its guest is ready to be called: one that is started, or one that
   * goes on as a {@link Snapshot}. A guest that this process has started before with the same options
   * is not initialised again; see `docs/snapshots.md`.
   *
   * @throws AmpouleError `ERR_AMPOULE_NO_HYPERVISOR`, `ERR_AMPOULE_INVALID_GUEST`,
   * `ERR_AMPOULE_INCOMPATIBLE_GUEST`, `ERR_AMPOULE_MISSING_HOST_FUNCTION`,
   * `ERR_AMPOULE_INVALID_ARGUMENT`, `ERR_AMPOULE_CLOSED` for a closed snapshot, and what a guest can
   * run into while it starts.
   */
  static async create<G extends GuestDeclaration = UndeclaredGuest>(
    given: CreateOptions<G>,
  ): Promise<Sandbox<G>> {
    const options = readOptions<CreateOptions<G>>(given, "options", OPTION_KEYS);
    const { trace } = options;
    const directives = trace === undefined ? DEFAULT_DIRECTIVES : resolveTrace(trace, "trace");
    const create = (): Promise<Sandbox<G>> => {
      const origin = originOf(idOfSnapshot(options.snapshot));
      const operation = Operation.begin("ampoule.create", nameOf(options), directives, origin);
      return recorded(operation, () => {
        const telemetry = { directives, onLog: resolveOnLog(options.onLog), origin };
        return Sandbox.#create<G>(options, telemetry, operation);
      });
    };
    if (!CREATIONS.hasSubscribers) return create();
    const snapshot = idOfSnapshot(options.snapshot) ?? null;
    return CREATIONS.tracePromise(create, { sandbox: nameOf(options), snapshot });
  }

  static async #create<G extends GuestDeclaration>(
    options: CreateOptions<G>,
    telemetry: TelemetrySettings,
    operation: Operation | undefined,
  ): Promise<Sandbox<G>> {
    const { hostFunctions = {} } = options;
    const functions = new GivenFunctions(hostFunctions);
    const printer = new Printer(nameOf(options));
    const { instance, driver } = await prepare(options, {
      stdout: openSink(options.stdout ?? "print", "stdout", printer.sink()),
      stderr: openSink(options.stderr ?? "print", "stderr", printer.sink()),
      restoresAfterCalls: resolveRestore(options.restore),
      telemetry,
    });
    driver.telemetry.madeBy(operation?.ids);
    const { times, signal } = instance;
    try {
      const parsed = await driver.start(
        {
          what: `guest ${JSON.stringify(instance.name)}`,
          times,
          signal,
          finish: (ending) => {
            if (ending.kind === "exited") throw exited(ending.code, ending.signal, "too early");
            return interfaceOf(native().interfaceJson(driver.handle));
          },
        },
        operation?.span,
      );
      driver.bind(functions.bind(parsed.typed, instance.name));
      printer.release();
      const { stdout, stderr, restore, limits, trace, onLog } = options;
      const settings = {
        hostFunctions,
        name: instance.name,
        ...(stdout === undefined ? {} : { stdout }),
        ...(stderr === undefined ? {} : { stderr }),
        ...(restore === undefined ? {} : { restore }),
        ...(trace === undefined ? {} : { trace }),
        ...(onLog === undefined ? {} : { onLog }),
        ...(limits === undefined ? {} : { limits: instanceLimits(limits) }),
      };
      return new Sandbox<G>(
        driver,
        parsed,
        times,
        settings as unknown as ForkOptions<G>,
        CONSTRUCT,
      );
    } catch (error) {
      await driver.close();
      if (error instanceof GuestExitedError) throw noGuest(error, printer.held);
      printer.release();
      throw error;
    }
  }

  /**
   * Kills a sandbox by its {@link Sandbox.id | id}, from any thread of this process: also one whose
   * own thread is inside `callSync`. Does nothing if there is no such sandbox any more.
   */
  static kill(id: number): void {
    checkId(id, "sandbox");
    const driver = driverOf(id);
    if (driver === undefined) native().kill(id, StopReason.killed);
    else driver.kill();
  }

  /**
   * The guest's functions. Each returns a promise and takes, behind its own arguments, optional
   * {@link CallOptions}. A name that the guest does not export is a function that rejects with
   * `ERR_AMPOULE_UNKNOWN_FUNCTION`; `"name" in sandbox.call` tells. Names that every object has, such as
   * `toString`, and `toJSON` are not here: {@link invoke} calls those.
   */
  get call(): Calls<G> {
    this.#call ??= makeTable(
      this.#exports,
      rejects,
      (each) =>
        (...args) =>
          each.call(this.#driver, args),
    ) as Calls<G>;
    return this.#call;
  }

  /**
   * The guest's functions, on this thread: the event loop stands still until they return, and host
   * functions must not be asynchronous. A call costs one VM exit and no thread hop.
   */
  get callSync(): SyncCalls<G> {
    this.#callSync ??= makeTable(
      this.#exports,
      throws,
      (each) =>
        (...args) =>
          each.callSync(this.#driver, args),
    ) as SyncCalls<G>;
    return this.#callSync;
  }

  /**
   * Calls the function of that name, as `sandbox.call[name](...args)` does, whatever the name is.
   *
   * @throws AmpouleError `ERR_AMPOULE_UNKNOWN_FUNCTION`, and as functions of {@link call}.
   */
  async invoke<Name extends keyof G["exports"] & string>(
    name: Name,
    ...args: Parameters<Calls<G>[Name]>
  ): Promise<ReturnType<G["exports"][Name]>> {
    const found = findExport(this.#exports, name);
    return (await found.call(this.#driver, args)) as ReturnType<G["exports"][Name]>;
  }

  /** {@link invoke} on this thread, as functions of {@link callSync} do. */
  invokeSync<Name extends keyof G["exports"] & string>(
    name: Name,
    ...args: Parameters<SyncCalls<G>[Name]>
  ): ReturnType<G["exports"][Name]> {
    const found = findExport(this.#exports, name);
    return found.callSync(this.#driver, args) as ReturnType<G["exports"][Name]>;
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

  /** What poisoned or broke the sandbox; `null` unless it is poisoned or broken. */
  get failure(): AmpouleError | null {
    return this.#driver.failure;
  }

  /** What the sandbox has done so far; after `close()`, what it had done. */
  get statistics(): SandboxStatistics {
    return statisticsOf(this.#driver.statistics());
  }

  /**
   * Takes the state of the guest, after the calls before it. The sandbox goes on as before, and going
   * back to this snapshot is cheap from then on. Cost: one pass over the guest's memory in use.
   *
   * @throws AmpouleError `ERR_AMPOULE_POISONED`, `ERR_AMPOULE_BROKEN`, `ERR_AMPOULE_CLOSED`,
   * `ERR_AMPOULE_REENTRANT`, `ERR_AMPOULE_KILLED`; `ERR_AMPOULE_HYPERVISOR` when the host has no
   * memory left.
   */
  async snapshot(): Promise<Snapshot<G>> {
    const operation = this.#begin("ampoule.snapshot");
    const id = await recorded(operation, () => this.#driver.snapshot());
    const handle = handleOf<G>(id);
    if (operation !== undefined) snapshotMadeBy(id, operation.ids);
    return handle;
  }

  /**
   * Goes back to a snapshot, by default to what the sandbox was made from, after the calls before it:
   * nothing that the guest did since can be observed by it. A poisoned sandbox is ready again then.
   *
   * Cost: microseconds for each page that the guest wrote since; more for a snapshot other than the one
   * it came from.
   *
   * @throws AmpouleError `ERR_AMPOULE_CLOSED`, `ERR_AMPOULE_REENTRANT`, `ERR_AMPOULE_KILLED`,
   * `ERR_AMPOULE_INCOMPATIBLE_SNAPSHOT`; after any other error the sandbox is `broken`.
   */
  async restore(snapshot?: Snapshot<G>): Promise<void> {
    await this.#holding(snapshot, (id) =>
      announcedRestore(this.name, snapshot?.id ?? null, () =>
        recorded(this.#begin("ampoule.restore"), async () => {
          if (this.#driver.restoresCheaply(id)) this.#driver.restoreSync(id);
          else await this.#driver.restore(id);
        }),
      ),
    );
  }

  /**
   * {@link restore} on this thread, without waiting for anything.
   *
   * @throws AmpouleError as {@link restore}, and `ERR_AMPOULE_BUSY` while something runs.
   */
  restoreSync(snapshot?: Snapshot<G>): void {
    const id = snapshot === undefined ? 0 : this.#check(snapshot);
    const restore = (): void =>
      recordedSync(this.#begin("ampoule.restore"), () => this.#driver.restoreSync(id));
    if (!RESTORES.hasSubscribers) restore();
    else RESTORES.traceSync(restore, { sandbox: this.name, snapshot: snapshot?.id ?? null });
  }

  /**
   * Makes another sandbox that goes on where this one is, with the same host functions, outputs and
   * limits unless `options` says otherwise. Standard input is not shared.
   *
   * @throws AmpouleError as {@link snapshot} and {@link Sandbox.create}.
   */
  async fork(forkOptions: ForkOptions<G> = {}): Promise<Sandbox<G>> {
    const options = readOptions<ForkOptions<G>>(forkOptions, "options", FORK_KEYS);
    const { limits: given = {} } = options;
    const own = readOptions<InstanceLimits>(given, "limits", INSTANCE_LIMIT_KEYS);
    const snapshot = await this.snapshot();
    try {
      const { limits, ...others } = this.#settings;
      return await Sandbox.create<G>({
        ...others,
        ...options,
        limits: { ...limits, ...own },
        snapshot,
      } as unknown as CreateOptions<G>);
    } finally {
      snapshot.close();
    }
  }

  #begin(name: OperationName): Operation | undefined {
    return Operation.begin(name, this.name, this.#driver.telemetry.directives);
  }

  /** The native number of `snapshot`, which this sandbox can go back to. */
  #check(snapshot: Snapshot<G>): number {
    const { id, interfaceJson, messageBytes } = openInfo(snapshot, "snapshot");
    if (interfaceJson !== this.#interfaceJson || messageBytes !== this.#messageBytes) {
      const what = interfaceJson === this.#interfaceJson ? "limits.message" : "functions";
      throw new AmpouleError(
        "ERR_AMPOULE_INCOMPATIBLE_SNAPSHOT",
        `snapshot ${id} is of a guest with other ${what} than sandbox ${JSON.stringify(this.name)}`,
        { details: { id } },
      );
    }
    return id;
  }

  /** Keeps the snapshot open while `act` uses it, whatever its owner does meanwhile. */
  async #holding(
    snapshot: Snapshot<G> | undefined,
    act: (id: number) => Promise<void>,
  ): Promise<void> {
    if (snapshot === undefined) return act(0);
    const id = this.#check(snapshot);
    // The handle is open, so that this opens another.
    native().openSnapshot(id);
    snapshotOpened(id);
    try {
      await act(id);
    } finally {
      snapshotClosed(id);
      native().closeSnapshot(id);
    }
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
    forget(this.close());
  }

  /** Calls {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** @internal What `console.log` shows. */
  [inspect.custom](...how: Shown): string {
    const { name, id, state, failure } = this;
    return show("Sandbox", { name, id, state, ...(failure && { failure: failure.code }) }, how);
  }
}

/** The error for a program that ended, as `error` says, where it should have become ready. */
function noGuest(error: GuestExitedError, output: string): GuestExitedError {
  const { exitCode, signal, details } = error;
  const more = { ...details, ...(output === "" ? {} : { output }) };
  const how = signal === null ? `exited with status ${exitCode}` : `was ended by ${signal}`;
  const message =
    exitCode === null && signal === null
      ? error.message
      : `the guest ${how} before it was ready to be called; a plain program is run by run(), or \`ampoule run\``;
  return new GuestExitedError(message, exitCode, signal, more);
}

/** The name that a sandbox will have, as far as it can be said of options that are not checked. */
function nameOf<G extends GuestDeclaration>({ name, guest, snapshot }: CreateOptions<G>): string {
  if (typeof name === "string" && name !== "") return name;
  return nameOfSnapshot(snapshot) ?? nameOfGuest(guest);
}

/** Makes the native sandbox that the options describe. */
async function prepare(
  options: SandboxOptions | (InstanceOptions & { readonly snapshot: unknown }),
  surroundings: Surroundings,
): Promise<{ instance: ResolvedInstance; driver: Driver }> {
  if ("snapshot" in options && options.snapshot !== undefined) {
    const { id, name, messageBytes } = openInfo(options.snapshot, "snapshot");
    refuseImageOptions(options);
    const instance = resolveInstance(options, checkName(options.name) ?? name);
    return { instance, driver: makeDriverFrom(id, messageBytes, instance, surroundings) };
  }
  const { guest } = options as SandboxOptions;
  const resolved = resolveGuest(guest, options);
  const instance = await unlessAborted(resolved, options.signal, "Sandbox.create");
  return { instance, driver: makeDriver(instance, true, surroundings) };
}

/** The limits that a fork can be given. */
function instanceLimits({ message: _, stack: __, ...limits }: Limits): InstanceLimits {
  return limits;
}
