/** The sandboxes of a pool: what all of them are made from, and one of them as a member. */
import { isUint8Array } from "node:util/types";
import type { GuestInterface } from "../../interface.js";
import { makeSandbox, partsOf, type Sandbox } from "../../sandbox.js";
import { openInfo, Snapshot } from "../../snapshot.js";
import type { MessageLimits } from "../../values/writer.js";
import type { Driver } from "../driver/driver.js";
import type { Export } from "../functions/exports.js";
import { native } from "../native/native.js";
import { describeType, invalid } from "../options/checks.js";
import { type Given, handedOn } from "../options/derived.js";
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

/** The snapshot that all sandboxes of a pool are made from. */
export class PoolSource {
  /** The first sandbox. */
  readonly first: PooledSandbox;
  readonly name: string;
  readonly interface: GuestInterface;
  readonly exports: readonly Export[];
  readonly messageLimits: MessageLimits;
  readonly #snapshot: Snapshot;
  /** The options of each sandbox, beside the snapshot. */
  readonly #instance: Given;

  private constructor(first: Sandbox, snapshot: Snapshot, instance: Given) {
    this.first = new PooledSandbox(first);
    this.name = first.name;
    this.interface = first.interface;
    this.exports = partsOf(first).exports;
    this.messageLimits = this.first.driver.messageLimits;
    this.#snapshot = snapshot;
    this.#instance = instance;
  }

  /** Starts the guest or opens the snapshot that `options` name, and makes the first sandbox. */
  static async open(options: Given): Promise<PoolSource> {
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
      // With a snapshot, options that it has decided are refused where sandboxes are made. The handle that was
      // given is not kept: whoever drops it without closing it is told.
      const instance =
        options.snapshot === undefined
          ? handedOn(options, "pool")
          : { ...options, snapshot: undefined, signal: undefined };
      // The signal is for the first alone.
      const first = await make(snapshot, { ...instance, signal: options.signal || undefined });
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

async function snapshotOf(options: Given): Promise<Snapshot> {
  if (options.snapshot !== undefined) {
    return Snapshot.open(openInfo(options.snapshot, "snapshot").id);
  }
  const sandbox = await makeSandbox(options);
  try {
    return await sandbox.snapshot();
  } finally {
    await sandbox.close();
  }
}

function make(snapshot: Snapshot, instance: Given): Promise<Sandbox> {
  return makeSandbox({ ...instance, snapshot });
}
