/** When a pool may try again what failed, and its timers. */
import { TIMER_MAX } from "../timers.js";

/** The first pause after an attempt that failed; it doubles with each that follows, up to the longest. */
const PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2000;

/**
 * Keeps attempts that fail from becoming a busy loop: after a failure comes a pause, then one attempt
 * at a time, until one succeeds.
 */
export class Backoff {
  #failures = 0;
  #pause: NodeJS.Timeout | undefined;

  /** Whether another attempt may begin while `underway` others have not ended. */
  allows(underway: number): boolean {
    return this.#pause === undefined && (this.#failures === 0 || underway === 0);
  }

  succeeded(): void {
    this.#failures = 0;
  }

  /** An attempt failed. `again` is called with `owner` when another may begin. */
  failed<T extends object>(owner: T, again: (owner: T) => void): void {
    this.#failures++;
    if (this.#pause !== undefined) return;
    const pause = Math.min(PAUSE_MS * 2 ** (this.#failures - 1), LONGEST_PAUSE_MS);
    this.#pause = later(owner, pause, (still) => {
      this.#pause = undefined;
      again(still);
    });
  }

  /** Somebody waits for the end of the pause, and the process must too. */
  keepAwake(): void {
    this.#pause?.ref();
  }

  stop(): void {
    clearTimeout(this.#pause);
  }
}

/** A timer that neither keeps the process alive nor `owner` from being collected. */
export function later<T extends object>(
  owner: T,
  ms: number,
  act: (owner: T) => void,
): NodeJS.Timeout {
  const weak = new WeakRef(owner);
  return setTimeout(
    () => {
      const still = weak.deref();
      if (still !== undefined) act(still);
    },
    Math.min(Math.max(Math.ceil(ms), 1), TIMER_MAX),
  ).unref();
}
