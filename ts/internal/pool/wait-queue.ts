/** The callers of a pool that wait for a sandbox: first come, first served. */
import type { AmpouleError } from "../../errors.js";
import { captureContext, type InContext } from "../context.js";
import { abortedError } from "../failures.js";
import { onAbort } from "../signals.js";

/** A caller who waits. Exactly one of the two functions is called, once. */
export interface Waiter<M> {
  /** Names what waits in messages: a function, or `acquire`. */
  readonly what: string;
  readonly signal: AbortSignal | undefined;
  /** Takes what was waited for and goes on, in the async context in which it came. */
  begin(member: M): void;
  /** Hears that nothing will come. */
  refuse(error: AmpouleError): void;
}

/** A waiter's place, linked to its neighbours so that it can leave from the middle. */
interface Place<M> {
  readonly waiter: Waiter<M>;
  readonly since: number;
  readonly inContext: InContext;
  /** Hears no more of the signal. */
  readonly stopListening: () => void;
  before: Place<M> | undefined;
  behind: Place<M> | undefined;
}

/**
 * Queues in which somebody waits. Nobody else may hold on to the pool meanwhile, and it must not be
 * collected while callers wait for it.
 */
const waitedIn = new Set<object>();

/** The queue. What leaves it by its signal does so at once. */
export class WaitQueue<M> {
  #first: Place<M> | undefined;
  #last: Place<M> | undefined;
  #length = 0;
  #waitedMs = 0;
  #longestWaitMs = 0;
  readonly #onLeave: () => void;

  /** `onLeave` hears when a waiter has left by its signal. */
  constructor(onLeave: () => void) {
    this.#onLeave = onLeave;
  }

  /** How many wait. */
  get length(): number {
    return this.#length;
  }

  /** Milliseconds that those who were served had waited, together. */
  get waitedMs(): number {
    return this.#waitedMs;
  }

  /** The most that one of them had waited. */
  get longestWaitMs(): number {
    return this.#longestWaitMs;
  }

  /** Who is next. */
  get first(): Waiter<M> | undefined {
    return this.#first?.waiter;
  }

  /** Lets `waiter` wait, behind all others. Its signal has not fired yet. */
  join(waiter: Waiter<M>): void {
    const place: Place<M> = {
      waiter,
      since: performance.now(),
      inContext: captureContext(),
      stopListening: onAbort(waiter.signal, () => {
        this.#leave(place);
        waiter.refuse(abortedError(waiter.what, waiter.signal));
        this.#onLeave();
      }),
      before: this.#last,
      behind: undefined,
    };
    if (this.#last === undefined) this.#first = place;
    else this.#last.behind = place;
    this.#last = place;
    this.#length++;
    waitedIn.add(this);
  }

  /** Gives `member` to the first in the queue; `false` if nobody waits. */
  serve(member: M): boolean {
    const place = this.#first;
    if (place === undefined) return false;
    this.#leave(place);
    const waited = performance.now() - place.since;
    this.#waitedMs += waited;
    this.#longestWaitMs = Math.max(this.#longestWaitMs, waited);
    place.inContext(() => place.waiter.begin(member));
    return true;
  }

  /** Refuses `waiter`, if it still waits. */
  refuse(waiter: Waiter<M> | undefined, error: AmpouleError): void {
    for (let place = this.#first; place !== undefined; place = place.behind) {
      if (place.waiter !== waiter) continue;
      this.#leave(place);
      waiter.refuse(error);
      return;
    }
  }

  /** Refuses all who wait now. */
  refuseAll(error: () => AmpouleError): void {
    for (let left = this.#length; left > 0 && this.#first !== undefined; left--) {
      const place = this.#first;
      this.#leave(place);
      place.waiter.refuse(error());
    }
  }

  #leave(place: Place<M>): void {
    const { before, behind } = place;
    if (before === undefined) this.#first = behind;
    else before.behind = behind;
    if (behind === undefined) this.#last = before;
    else behind.before = before;
    this.#length--;
    if (this.#length === 0) waitedIn.delete(this);
    place.stopListening();
  }
}
