/**
 * What a pool has, and who gets it: hands clean members out in the order in which callers came, has
 * them made clean again when they come back, and makes and ends members as they are needed.
 *
 * A member is in one of these states, and in `idle` only when it is clean and nobody waits:
 *
 *     creating -> idle <-> busy -> restoring -> idle ...
 *                  \         \        \
 *                   +---------+--------+---> closing
 */
import { AmpouleError } from "../../errors.js";
import { internalError } from "../failures.js";
import { Backoff, later } from "./backoff.js";
import { type Waiter, WaitQueue } from "./wait-queue.js";

/** What a pool keeps. */
export interface Member {
  /** Whether a caller may have it now: clean, alive, and nobody has asked it to stop. */
  readonly isReady: boolean;
  /** Makes it clean again, whatever was done in it. Rejects if that cannot be. */
  restore(): Promise<void>;
  /** Ends it, from any state. Never rejects. */
  close(): Promise<void>;
}

/** How many members there may be, and how many may wait for one. */
export interface Bounds {
  readonly min: number;
  readonly max: number;
  /** Callers that may wait beyond those for whom a member is on its way; `Infinity` for all. */
  readonly maxQueue: number;
  /** Milliseconds after which an idle member above `min` is ended; `Infinity` for never. */
  readonly idleMs: number;
}

/** What a pool has and has done. */
export interface MemberCounts {
  readonly idle: number;
  readonly busy: number;
  readonly restoring: number;
  readonly creating: number;
  readonly queued: number;
  readonly created: number;
  readonly failedCreations: number;
  readonly restores: number;
  readonly replaced: number;
  readonly rejected: number;
  readonly waitedMs: number;
  readonly longestWaitMs: number;
}

/** The members of one pool. */
export class Members<M extends Member> {
  readonly #name: string;
  readonly #bounds: Bounds;
  readonly #create: () => Promise<M>;
  /** The one used last is taken first: it is warm, and the others grow old enough to be ended. */
  readonly #idle: { readonly member: M; readonly since: number }[] = [];
  readonly #busy = new Set<M>();
  readonly #restoring = new Set<M>();
  readonly #closing = new Set<Promise<void>>();
  readonly #waiting = new WaitQueue<M>(() => this.#settle());
  #creating = 0;
  readonly #done = { created: 0, failedCreations: 0, restores: 0, replaced: 0, rejected: 0 };
  readonly #backoff = new Backoff();
  #ageing: NodeJS.Timeout | undefined;
  #state: "open" | "closing" | "forced" = "open";
  #drains: (() => void)[] = [];

  constructor(name: string, bounds: Bounds, create: () => Promise<M>) {
    this.#name = name;
    this.#bounds = bounds;
    this.#create = create;
  }

  get counts(): MemberCounts {
    return {
      idle: this.#idle.length,
      busy: this.#busy.size,
      restoring: this.#restoring.size,
      creating: this.#creating,
      queued: this.#waiting.length,
      ...this.#done,
      waitedMs: this.#waiting.waitedMs,
      longestWaitMs: this.#waiting.longestWaitMs,
    };
  }

  get #size(): number {
    return this.#idle.length + this.#busy.size + this.#restoring.size;
  }

  // Handing out

  /** Whether {@link take} is likely to have something. */
  get hasIdle(): boolean {
    return this.#idle.length > 0;
  }

  /** Throws if the pool takes no more work. */
  refuseIfClosed(): void {
    if (this.#state !== "open") throw this.#closedError();
  }

  /** Throws if nobody can be served, and no more may wait. */
  refuseIfFull(): void {
    if (this.hasIdle) return;
    // Whom a member is on its way for does not count: it is restored, is made, or can be made.
    const served = this.#bounds.max - this.#busy.size;
    if (this.#waiting.length < this.#bounds.maxQueue + served) return;
    this.#done.rejected++;
    const { maxQueue } = this.#bounds;
    throw new AmpouleError(
      "ERR_AMPOULE_QUEUE_FULL",
      `pool ${JSON.stringify(this.#name)} is full: ${this.#busy.size} sandboxes are in use and ` +
        `${this.#waiting.length} callers wait; raise size.max or maxQueue, or set whenFull to "wait"`,
      { details: { max: this.#bounds.max, maxQueue, queued: this.#waiting.length } },
    );
  }

  /** A clean member, if there is one at hand. It must come back by {@link giveBack}. */
  take(): M | undefined {
    for (;;) {
      const entry = this.#idle.pop();
      if (entry === undefined) return undefined;
      if (entry.member.isReady) {
        this.#busy.add(entry.member);
        return entry.member;
      }
      // Stopped from elsewhere while nobody had it.
      this.#recycle(entry.member);
    }
  }

  /** Lets `waiter` wait for a member, which it must give back. */
  wait(waiter: Waiter<M>): void {
    this.#waiting.join(waiter);
    this.#backoff.keepAwake();
    this.#grow(waiter);
  }

  /** Takes a member back. One that was not touched is as clean as it was. */
  giveBack(member: M, touched: boolean): void {
    // Taken away already when the pool was closed by force.
    if (!this.#busy.delete(member)) return;
    if (touched || !member.isReady) this.#recycle(member);
    else this.#offer(member);
  }

  #recycle(member: M): void {
    this.#restoring.add(member);
    // Behind the promise jobs of now: the caller goes on with the answer first.
    process.nextTick(() => {
      member.restore().then(
        () => {
          this.#restoring.delete(member);
          this.#done.restores++;
          if (member.isReady) this.#offer(member);
          else this.#replace(member);
        },
        () => {
          this.#restoring.delete(member);
          this.#replace(member);
        },
      );
    });
  }

  /** A member that belongs to nobody and is clean goes to who waits longest, or is kept. */
  #offer(member: M): void {
    if (this.#state !== "forced" && this.#waiting.length > 0) {
      this.#busy.add(member);
      this.#waiting.serve(member);
      return;
    }
    if (this.#state === "open") {
      this.#idle.push({ member, since: performance.now() });
      this.#watchAge();
    } else {
      this.#end(member);
    }
    this.#settle();
  }

  #replace(member: M): void {
    this.#done.replaced++;
    this.#end(member);
    this.#grow(this.#waiting.first);
    this.#settle();
  }

  #end(member: M): void {
    const closing = member.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  // Making

  /** Takes in a member that was made elsewhere. */
  adopt(member: M): void {
    this.#done.created++;
    this.#offer(member);
  }

  /** Makes members up to the minimum. Rejects with the first failure. */
  async fill(): Promise<void> {
    const missing = this.#bounds.min - this.#size - this.#creating;
    const made = Array.from({ length: Math.max(0, missing) }, () => this.#make());
    const failed = (await Promise.all(made)).find((error) => error !== undefined);
    if (failed !== undefined) throw failed;
  }

  /**
   * Makes a member for each caller who waits and for whom none is being made, and what is missing up
   * to the minimum. `cause` hears of the failure of those that are begun now.
   */
  #grow(cause: Waiter<M> | undefined): void {
    for (;;) {
      const needed = this.#waiting.length - this.#creating;
      const missing = this.#state === "open" ? this.#bounds.min - this.#size - this.#creating : 0;
      const room = this.#bounds.max - this.#size - this.#creating;
      if (Math.min(room, Math.max(needed, missing)) <= 0 || this.#state === "forced") return;
      if (!this.#backoff.allows(this.#creating)) return;
      void this.#make(cause);
    }
  }

  /** Makes one member; resolves to what went wrong. */
  async #make(cause?: Waiter<M>): Promise<AmpouleError | undefined> {
    this.#creating++;
    const made = await this.#create().catch((problem: unknown) =>
      problem instanceof AmpouleError ? problem : internalError(problem),
    );
    this.#creating--;
    if (made instanceof AmpouleError) {
      this.#failed(made, cause);
      return made;
    }
    this.#backoff.succeeded();
    this.adopt(made);
    this.#grow(this.#waiting.first);
    return undefined;
  }

  #failed(error: AmpouleError, cause: Waiter<M> | undefined): void {
    this.#done.failedCreations++;
    this.#backoff.failed<Members<M>>(this, (members) => members.#grow(members.#waiting.first));
    // Without any member, everybody who waits depends on creations.
    if (this.#size + this.#creating > 0) this.#waiting.refuse(cause, error);
    else this.#waiting.refuseAll(() => error);
    if (this.#waiting.length > 0) this.#backoff.keepAwake();
    this.#settle();
  }

  // Ending

  /** Ends members that nobody has used for long, down to the minimum. */
  #watchAge(): void {
    const [oldest] = this.#idle;
    const { idleMs, min } = this.#bounds;
    if (this.#ageing !== undefined || oldest === undefined) return;
    if (this.#size <= min || idleMs === Number.POSITIVE_INFINITY) return;
    const due = oldest.since + idleMs - performance.now();
    this.#ageing = later<Members<M>>(this, due, (members) => {
      members.#ageing = undefined;
      members.#endOld();
      members.#watchAge();
    });
  }

  #endOld(): void {
    const old = performance.now() - this.#bounds.idleMs;
    while (this.#size > this.#bounds.min) {
      const [oldest] = this.#idle;
      if (oldest === undefined || oldest.since > old) return;
      this.#idle.shift();
      this.#end(oldest.member);
    }
  }

  /** Resolves when nobody waits, and no member is used, restored or made. */
  drain(): Promise<void> {
    return new Promise((resolve) => {
      this.#drains.push(resolve);
      this.#settle();
    });
  }

  #settle(): void {
    if (this.#waiting.length + this.#creating + this.#busy.size + this.#restoring.size > 0) return;
    if (this.#drains.length === 0) return;
    for (const resolve of this.#drains.splice(0)) resolve();
  }

  /** Takes no more work, waits for what there is (by force: stops it), and ends every member. */
  async close(force: boolean): Promise<void> {
    if (this.#state === "open") this.#state = "closing";
    if (force) this.#state = "forced";
    for (const { member } of this.#idle.splice(0)) this.#end(member);
    if (force) {
      this.#waiting.refuseAll(() => this.#closedError());
      for (const member of this.#busy) this.#end(member);
      this.#busy.clear();
    }
    await this.drain();
    this.#backoff.stop();
    clearTimeout(this.#ageing);
    while (this.#closing.size > 0) await Promise.all(this.#closing);
  }

  #closedError(): AmpouleError {
    return new AmpouleError("ERR_AMPOULE_CLOSED", `pool ${JSON.stringify(this.#name)} is closed`);
  }
}
