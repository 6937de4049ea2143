/** Who has a sandbox of a pool, from the moment it is handed out until it is given back. */
import { AmpouleError } from "../../errors.js";
import type { MessageLimits } from "../../values/writer.js";
import type { Request } from "../driver/run.js";
import type { SyncCallee } from "../functions/callee.js";
import type { Members } from "./members.js";
import type { PooledSandbox } from "./sandbox.js";

/**
 * The right to use one sandbox of a pool. It can be given up once, and then everything that was ever
 * reached through it is without effect: the sandbox is somebody else's by then.
 */
export class Tenancy implements SyncCallee {
  readonly name: string;
  readonly messageLimits: MessageLimits;
  readonly #members: Members<PooledSandbox>;
  #sandbox: PooledSandbox | undefined;
  #touched = false;
  #running = 0;
  #released = false;

  constructor(members: Members<PooledSandbox>, sandbox: PooledSandbox) {
    this.name = sandbox.driver.name;
    this.messageLimits = sandbox.driver.messageLimits;
    this.#members = members;
    this.#sandbox = sandbox;
    abandoned.register(this, { members, sandbox }, this);
  }

  get isReleased(): boolean {
    return this.#released;
  }

  /** The sandbox. Throws once it was given up. */
  get sandbox(): PooledSandbox {
    if (this.#sandbox === undefined || this.#released) {
      throw new AmpouleError("ERR_AMPOULE_CLOSED", "the lease was released");
    }
    return this.#sandbox;
  }

  get isIdle(): boolean {
    return this.sandbox.driver.isIdle;
  }

  refuseIfUnusable(): void {
    this.sandbox.driver.refuseIfUnusable();
  }

  refuseIfBusy(): void {
    this.sandbox.driver.refuseIfBusy();
  }

  async run<T>(
    request: Request<T>,
    functionId: number,
    length: number,
    queued: Uint8Array | undefined,
  ): Promise<T> {
    const { driver } = this.sandbox;
    this.#touched = true;
    this.#running++;
    try {
      return await driver.run(request, functionId, length, queued);
    } finally {
      this.#ended();
    }
  }

  runSync<T>(request: Request<T>, functionId: number, length: number): T {
    const { driver } = this.sandbox;
    this.#touched = true;
    this.#running++;
    try {
      return driver.runSync(request, functionId, length);
    } finally {
      this.#ended();
    }
  }

  /** Stops what runs. */
  kill(): void {
    this.#touched = true;
    this.sandbox.driver.kill();
  }

  /** Gives the sandbox up. Calls in progress are stopped. */
  release(): void {
    if (this.#released) return;
    abandoned.unregister(this);
    this.#released = true;
    if (this.#running > 0) this.#sandbox?.driver.kill();
    else this.#giveBack();
  }

  #ended(): void {
    this.#running--;
    if (this.#released && this.#running === 0) this.#giveBack();
  }

  #giveBack(): void {
    const sandbox = this.#sandbox;
    this.#sandbox = undefined;
    if (sandbox !== undefined) this.#members.giveBack(sandbox, this.#touched);
  }
}

/** Takes sandboxes back whose leases were dropped. While a call runs, its lease is not dropped. */
const abandoned = new FinalizationRegistry<{
  readonly members: Members<PooledSandbox>;
  readonly sandbox: PooledSandbox;
}>(({ members, sandbox }) => {
  members.giveBack(sandbox, true);
  process.emitWarning(
    `a lease of sandbox ${JSON.stringify(sandbox.driver.name)} was garbage-collected without ` +
      "release(); until then nobody else could have the sandbox",
    { type: "AmpouleWarning", code: "AMPOULE_UNRELEASED_LEASE" },
  );
});
