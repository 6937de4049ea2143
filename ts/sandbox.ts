import { inspect } from "node:util";
import { AmpouleError, GuestExitedError } from "./errors.js";
import type { Calls, GuestDeclaration, SyncCalls, UndeclaredGuest } from "./guest.js";
import type { GuestInterface } from "./interface.js";
import { makeDriver, makeDriverFrom, type Surroundings } from "./internal/driver/create.js";
import { type Driver, driverOf } from "./internal/driver/driver.js";
import { openSink } from "./internal/driver/outputs.js";
import { Printer } from "./internal/driver/print.js";
import { exited } from "./internal/failures.js";
import { type Export, exportsOf } from "./internal/functions/exports.js";
import { interfaceOf, type ParsedInterface } from "./internal/functions/interfaces.js";
import { findExport, makeTable, rejects, throws } from "./internal/functions/tables.js";
import { native } from "./internal/native/native.js";
import { StopReason } from "./internal/native/numbers.js";
import { checkId, readOptions, refuseConstruction } from "./internal/options/checks.js";
import {
  type Checked,
  CREATE_KEYS,
  check,
  type Given,
  GUEST_KEYS,
  handedOn,
  type Inheritance,
  refuseImageOptions,
  SANDBOX_KEYS,
  SANDBOX_LIMIT_KEYS,
  type SandboxKey,
} from "./internal/options/derived.js";
import { OPTIONS } from "./internal/options/descriptors.js";
import type { Times } from "./internal/options/numbers.js";
import { load } from "./internal/options/sources.js";
import { nameOfGuest } from "./internal/options/texts.js";
import { type Shown, show } from "./internal/show.js";
import { unlessAborted } from "./internal/signals.js";
import { announcedRestore, CREATIONS, RESTORES } from "./internal/telemetry/channels.js";
import type { Directives } from "./internal/telemetry/directives.js";
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
import type { SpanIds } from "./internal/telemetry/spans.js";
import { forget } from "./internal/thenable.js";
import type { InstanceLimits } from "./options.js";
import type { CreateOptions, ForkOptions } from "./sandbox-options.js";
import { handleOf, idOfSnapshot, nameOfSnapshot, openInfo, type Snapshot } from "./snapshot.js";
import type { SandboxState } from "./state.js";
import { type SandboxStatistics, statisticsOf } from "./statistics.js";

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

/** @internal {@link Sandbox.create} with options that have been read, for who awaits it; no part of the API. */
export let makeSandbox: <G extends GuestDeclaration>(options: Given) => Promise<Sandbox<G>>;

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
  /** What forks are given again. */
  readonly #handedOn: Inheritance;

  static {
    partsOf = (sandbox) => ({ driver: sandbox.#driver, exports: sandbox.#exports });
    makeSandbox = <D extends GuestDeclaration>(options: Given): Promise<Sandbox<D>> => {
      const directives = OPTIONS.trace.check(options.trace);
      const create = (): Promise<Sandbox<D>> => {
        const origin = originOf(idOfSnapshot(options.snapshot));
        const operation = Operation.begin("ampoule.create", nameOf(options), directives, origin);
        return recorded(operation, () =>
          Sandbox.#create<D>(options, directives, origin, operation),
        );
      };
      if (!CREATIONS.hasSubscribers) return create();
      const snapshot = idOfSnapshot(options.snapshot) ?? null;
      return CREATIONS.tracePromise(create, { sandbox: nameOf(options), snapshot });
    };
  }

  /** @internal Use {@link Sandbox.create}. */
  private constructor(
    driver: Driver,
    parsed: ParsedInterface,
    times: Times,
    handedOn: Inheritance,
    key: symbol,
  ) {
    refuseConstruction(key, CONSTRUCT, "Sandbox", "Sandbox.create()");
    this.#exports = exportsOf(parsed.typed.exports, times);
    this.interface = parsed.described;
    this.#driver = driver;
    this.#interfaceJson = parsed.json;
    this.#messageBytes = native().messageBytes(driver.handle);
    this.#handedOn = handedOn;
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
    return makeSandbox<G>(readOptions<Given>(given, "options", CREATE_KEYS));
  }

  static async #create<G extends GuestDeclaration>(
    options: Given,
    directives: Directives,
    origin: SpanIds | undefined,
    operation: Operation | undefined,
  ): Promise<Sandbox<G>> {
    const { name, checked, driver, printer } = await prepare(options, directives, origin);
    driver.telemetry.madeBy(operation?.ids);
    const { timeoutMs, cpuTimeMs } = checked.limits;
    const times = { timeoutMs, cpuTimeMs };
    try {
      const parsed = await driver.start(
        {
          what: `guest ${JSON.stringify(name)}`,
          times,
          signal: checked.signal,
          finish: (ending) => {
            if (ending.kind === "exited") throw exited(ending.code, ending.signal, "too early");
            return interfaceOf(native().interfaceJson(driver.handle));
          },
        },
        operation?.span,
      );
      driver.bind(checked.hostFunctions.bind(parsed.typed, name));
      printer.release();
      return new Sandbox<G>(driver, parsed, times, handedOn(options, "fork"), CONSTRUCT);
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
    const options = readOptions<Given>(forkOptions, "options", SANDBOX_KEYS);
    const { limits: given = {} } = options as ForkOptions;
    const own = readOptions<InstanceLimits>(given, "limits", SANDBOX_LIMIT_KEYS);
    const snapshot = await this.snapshot();
    try {
      const limits = { ...this.#handedOn.limits, ...own };
      return await makeSandbox<G>({ ...this.#handedOn, ...options, limits, snapshot });
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
function nameOf({ name, guest, snapshot }: Given): string {
  if (typeof name === "string" && name !== "") return name;
  return nameOfSnapshot(snapshot) ?? nameOfGuest(guest);
}

/** Makes the native sandbox that the options describe. */
async function prepare(
  options: Given,
  directives: Directives,
  origin: SpanIds | undefined,
): Promise<{ name: string; checked: Checked<SandboxKey>; driver: Driver; printer: Printer }> {
  const printer = new Printer(nameOf(options));
  const surroundings = ({ stdout, stderr, restore, onLog }: Checked<SandboxKey>): Surroundings => ({
    stdout: openSink(stdout, "stdout", printer.sink()),
    stderr: openSink(stderr, "stderr", printer.sink()),
    restoresAfterCalls: restore,
    telemetry: { directives, onLog, origin },
  });
  if (options.snapshot !== undefined) {
    const { id, name: taken, messageBytes } = OPTIONS.snapshot.check(options.snapshot);
    refuseImageOptions(options);
    const checked = check(options, SANDBOX_KEYS);
    const name = checked.name ?? taken;
    const driver = makeDriverFrom(id, messageBytes, name, checked, surroundings(checked));
    return { name, checked, driver, printer };
  }
  const checked = check(options, GUEST_KEYS);
  const { guest, files, signal } = checked;
  const name = checked.name ?? nameOfGuest(options.guest);
  const loaded = await unlessAborted(load(guest, files, signal), signal, "Sandbox.create");
  const driver = makeDriver(name, checked, loaded, true, surroundings(checked));
  return { name, checked, driver, printer };
}
