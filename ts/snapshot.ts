import { inspect } from "node:util";
import { AmpouleError } from "./errors.js";
import type { GuestDeclaration, UndeclaredGuest } from "./guest.js";
import type { GuestInterface } from "./interface.js";
import { interfaceOf } from "./internal/functions/interfaces.js";
import { type NativeSnapshot, native } from "./internal/native/native.js";
import {
  checkId,
  describeType,
  invalid,
  readOptions,
  refuseConstruction,
} from "./internal/options/checks.js";
import { type Shown, show } from "./internal/show.js";
import { inStore, storeMetadata, storePath, storeTag } from "./internal/store.js";
import { snapshotClosed, snapshotOpened } from "./internal/telemetry/origins.js";
import { roundSize } from "./sizes.js";
import type { LoadOptions, SavedSnapshot, SaveOptions } from "./store.js";

/** Closes handles that were dropped without `close()`. */
const abandoned = new FinalizationRegistry<{ id: number; name: string }>(({ id, name }) => {
  snapshotClosed(id);
  native().closeSnapshot(id);
  process.emitWarning(
    `a snapshot of ${JSON.stringify(name)} was garbage-collected without close(); ` +
      "until then it kept the guest's memory",
    { type: "AmpouleWarning", code: "AMPOULE_UNCLOSED_SNAPSHOT" },
  );
});

/** Whoever has it may construct. */
const CONSTRUCT = Symbol();

let makeHandle: (id: number) => Snapshot;
let infoOf: (value: unknown) => NativeSnapshot | undefined;

/**
 * The state of a ready guest: memory, registers, open files and what else it could observe. Any number
 * of sandboxes begin as one or go back to it, and share its memory until they write to it.
 *
 * This is a handle: the state itself lives until all its handles are closed and no sandbox uses it.
 *
 * @typeParam G - the guest's declaration, as of the sandbox it was taken of.
 */
export class Snapshot<G extends GuestDeclaration = UndeclaredGuest> {
  /** Only a type: there is no such property. */
  declare protected readonly guest?: G;
  /** Names this snapshot in the whole process, for {@link Snapshot.open} in another thread. */
  readonly id: number;
  #info: NativeSnapshot;
  #open = true;

  static {
    makeHandle = (id) => new Snapshot(id, CONSTRUCT);
    infoOf = (value) =>
      typeof value === "object" && value !== null && #info in value ? value.#info : undefined;
  }

  /** @internal Taken by `sandbox.snapshot()`, opened by {@link Snapshot.open}. */
  private constructor(id: number, key: symbol) {
    const how = "sandbox.snapshot(), Snapshot.open() and Snapshot.load()";
    refuseConstruction(key, CONSTRUCT, "Snapshot", how);
    this.id = id;
    this.#info = native().snapshotInfo(id) as NativeSnapshot;
    snapshotOpened(id);
    abandoned.register(this, { id, name: this.#info.name }, this);
  }

  /**
   * Opens another handle of the snapshot with that {@link Snapshot.id | id}, in whatever thread of
   * this process it was taken. A handle must be open there until this returns.
   *
   * @throws AmpouleError `ERR_AMPOULE_SNAPSHOT_NOT_FOUND`
   */
  static open<G extends GuestDeclaration = UndeclaredGuest>(id: number): Snapshot<G> {
    checkId(id, "snapshot");
    if (!native().openSnapshot(id)) {
      throw new AmpouleError(
        "ERR_AMPOULE_SNAPSHOT_NOT_FOUND",
        `there is no snapshot ${id} in this process, or all its handles are closed`,
        { details: { id } },
      );
    }
    return makeHandle(id) as Snapshot<G>;
  }

  /**
   * Loads a snapshot that was {@link save}d to the store at `path`. Its memory is mapped from the
   * files there and not copied: they must not change while anything uses it, and whoever may write
   * them must be trusted as much as whoever supplies the guest.
   *
   * @throws AmpouleError `ERR_AMPOULE_SNAPSHOT_NOT_FOUND`, `ERR_AMPOULE_CORRUPT_SNAPSHOT`,
   * `ERR_AMPOULE_INCOMPATIBLE_SNAPSHOT`, `ERR_AMPOULE_STORE`, `ERR_AMPOULE_ABORTED`
   */
  static async load<G extends GuestDeclaration = UndeclaredGuest>(
    path: string | URL,
    options: LoadOptions = {},
  ): Promise<Snapshot<G>> {
    const given = readOptions(options, "options", ["tag", "verify", "signal"]);
    const [store, tag] = [storePath(path), storeTag(given.tag)];
    const { verify = true, signal } = given;
    if (typeof verify !== "boolean") {
      throw invalid("verify", `must be a boolean, got ${describeType(verify)}`);
    }
    const id = await inStore(`loading ${JSON.stringify(tag)}`, signal, (operation) =>
      native().loadSnapshot(operation, store, tag, verify),
    );
    return makeHandle(id as number) as Snapshot<G>;
  }

  /**
   * Saves the snapshot to the store at `path`, a directory that is made if it does not exist. When the
   * promise is fulfilled, the snapshot survives a crash; until then the store is as it was. Several
   * threads and processes may save to one store at once. Only pages that no base in the store has are
   * written.
   *
   * @throws AmpouleError `ERR_AMPOULE_CLOSED`, `ERR_AMPOULE_INVALID_ARGUMENT`,
   * `ERR_AMPOULE_CORRUPT_SNAPSHOT`, `ERR_AMPOULE_STORE`, `ERR_AMPOULE_ABORTED`
   */
  async save(path: string | URL, options: SaveOptions = {}): Promise<SavedSnapshot> {
    const given = readOptions(options, "options", ["tag", "metadata", "signal"]);
    const save = {
      snapshot: this.id,
      path: storePath(path),
      tag: storeTag(given.tag),
      metadata: storeMetadata(given.metadata),
    };
    openInfo(this, "snapshot");
    const saved = await inStore(`saving snapshot ${this.id}`, given.signal, (operation) =>
      native().saveSnapshot(operation, save),
    );
    return saved as SavedSnapshot;
  }

  /** What the guest says about itself. */
  get interface(): GuestInterface {
    return interfaceOf(this.#info.interfaceJson).described;
  }

  /** Bytes of guest memory that the snapshot holds, page tables included. */
  get memoryBytes(): number {
    return this.#info.memoryBytes;
  }

  /** Whether this handle is closed. */
  get closed(): boolean {
    return !this.#open;
  }

  /**
   * Closes this handle. Sandboxes that came from the snapshot go on, and can still be restored to it.
   * Idempotent.
   */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    abandoned.unregister(this);
    snapshotClosed(this.id);
    native().closeSnapshot(this.id);
  }

  /** Calls {@link close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal What `console.log` shows. */
  [inspect.custom](...how: Shown): string {
    const { id, memoryBytes, closed } = this;
    const name = this.#info.name;
    return show("Snapshot", { name, id, memory: roundSize(memoryBytes), closed }, how);
  }
}

/** The handle of native snapshot `id`, which has been opened on this thread. */
export function handleOf<G extends GuestDeclaration>(id: number): Snapshot<G> {
  return makeHandle(id) as Snapshot<G>;
}

/** The id of `value`; `undefined` if it is no snapshot. */
export function idOfSnapshot(value: unknown): number | undefined {
  return infoOf(value) === undefined ? undefined : (value as Snapshot).id;
}

/** The name of the sandbox that `value` was taken of; `undefined` if it is no snapshot. */
export function nameOfSnapshot(value: unknown): string | undefined {
  return infoOf(value)?.name;
}

/**
 * What is known of the snapshot given as the option or argument `name`.
 *
 * @throws AmpouleError `ERR_AMPOULE_INVALID_ARGUMENT` if it is none, `ERR_AMPOULE_CLOSED`
 */
export function openInfo(value: unknown, name: string): NativeSnapshot & { readonly id: number } {
  const info = infoOf(value);
  if (info === undefined) throw invalid(name, `must be a Snapshot, got ${describeType(value)}`);
  const { id, closed } = value as Snapshot;
  if (closed) throw new AmpouleError("ERR_AMPOULE_CLOSED", `snapshot ${id} is closed`);
  return { ...info, id };
}
