/** The sandboxes of a pool: what all of them are made from, and one of them as a member. */
import { isUint8Array } from "node:util/types";
import type { GuestDeclaration } from "../../guest.js";
import type { GuestInterface } from "../../interface.js";
import { type CreateOptions, partsOf, Sandbox } from "../../sandbox.js";
import { openInfo, Snapshot } from "../../snapshot.js";
import type { MessageLimits } from "../../values/writer.js";
import type { Driver } from "../driver/driver.js";
import type { Export } from "../functions/exports.js";
import { native } from "../native/native.js";
import { describeType, invalid } from "../options/checks.js";
import { announcedRestore } from "../telemetry/channels.js";
import type { Member } from "./members.js";

/**
 * What handing a restore to a runner and hearing of its end takes of this thread, about: 40 us on a
 * nested KVM with two CPUs, where a restore of few pages takes 10.
 */
const HAND_OVER_MS = 0.05;

/** Restores on runners after one on this thread that took longer than that. */
const RESTORES_ELSEWHERE = 16;

/** A sandbox as a member of a pool. */
export class PooledSandbox implements Member {
  readonly driver: Driver;
  readonly #sandbox: Sandbox;
  /** Restores to come that are done on a runner, whatever they seem to cost. */
  #elsewhere = 0;

  constructor(sandbox: Sandbox) {
    this.#sandbox = sandbox;
    this.driver = partsOf(sandbox).driver;
  }

  get isReady(): boolean {
    // The second half knows of kills by id that came from other threads.
    return this.driver.state === "ready" && !native().isStopping(this.driver.handle);
  }

  restore(): Promise<void> {
    return announcedRestore(this.driver.name, null, () => this.#restore());
  }

  /**
   * On this thread when that is likely to take less of it than handing the work to a runner would,
   * which is so for guests that write few pages.
   */
  async #restore(): Promise<void> {
    if (this.#elsewhere > 0) {
      this.#elsewhere--;
    } else if (this.driver.restoresCheaply(0)) {
      const start = performance.now();
      this.driver.restoreSync();
      if (performance.now() - start > HAND_OVER_MS) this.#elsewhere = RESTORES_ELSEWHERE;
      return;
    }
    await this.driver.restore();
  }

  close(): Promise<void> {
    return this.#sandbox.close();
  }
}

/** What the members need beside the snapshot. */
type InstanceKeys =
  | "hostFunctions"
  | "limits"
  | "name"
  | "onLog"
  | "stderr"
  | "stdin"
  | "stdout"
  | "trace";
type Instance = Readonly<Partial<Record<InstanceKeys, unknown>>>;

/** The snapshot that all sandboxes of a pool are made from. */
export class PoolSource {
  /** The first sandbox. */
  readonly first: PooledSandbox;
  readonly name: string;
  readonly interface: GuestInterface;
  readonly exports: readonly Export[];
  readonly messageLimits: MessageLimits;
  readonly #snapshot: Snapshot;
  readonly #instance: Instance;

  private constructor(first: Sandbox, snapshot: Snapshot, instance: Instance) {
    this.first = new PooledSandbox(first);
    this.name = first.name;
    this.interface = first.interface;
    this.exports = partsOf(first).exports;
    this.messageLimits = this.first.driver.messageLimits;
    this.#snapshot = snapshot;
    this.#instance = instance;
  }

  /** Starts the guest or opens the snapshot that `options` name, and makes the first sandbox. */
  static async open<G extends GuestDeclaration>(options: CreateOptions<G>): Promise<PoolSource> {
    if (options.restore !== undefined) {
      throw invalid("restore", "is what a pool does anyway, leave it out");
    }
    const { stdin = null } = options;
    if (stdin !== null && typeof stdin !== "string" && !isUint8Array(stdin)) {
      // One run would find what another has left of it.
      const what = describeType(stdin);
      throw invalid("stdin", `of a pool must be null, a string or a Uint8Array, got ${what}`);
    }
    const snapshot = await snapshotOf(options);
    try {
      const instance = instanceOf(options);
      const { signal } = options;
      const first = await make(snapshot, { ...instance, ...(signal && { signal }) });
      return new PoolSource(first, snapshot, instance);
    } catch (error) {
      snapshot.close();
      throw error;
    }
  }

  async make(): Promise<PooledSandbox> {
    return new PooledSandbox(await make(this.#snapshot, this.#instance));
  }

  /** Lets the snapshot go. Sandboxes that were made from it can still be restored. */
  close(): void {
    this.#snapshot.close();
  }
}

async function snapshotOf<G extends GuestDeclaration>(
  options: CreateOptions<G>,
): Promise<Snapshot> {
  if ("snapshot" in options && options.snapshot !== undefined) {
    return Snapshot.open(openInfo(options.snapshot, "snapshot").id);
  }
  const sandbox = await Sandbox.create<G>(options);
  try {
    return (await sandbox.snapshot()) as unknown as Snapshot;
  } finally {
    await sandbox.close();
  }
}

/** The options that a sandbox made from a snapshot of the guest is given. */
function instanceOf<G extends GuestDeclaration>(options: CreateOptions<G>): Instance {
  if ("snapshot" in options && options.snapshot !== undefined) {
    const { snapshot: _, signal: __, ...instance } = options;
    return instance;
  }
  const { hostFunctions, stdout, stderr, stdin, name, trace, onLog } = options;
  const { message: _, stack: __, ...limits } = ("guest" in options && options.limits) || {};
  const given = { hostFunctions, stdout, stderr, stdin, name, limits, trace, onLog };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

function make(snapshot: Snapshot, instance: Instance): Promise<Sandbox> {
  return Sandbox.create({ ...instance, snapshot } as CreateOptions);
}
