/** Chance that repeats itself. */
import { promisify } from "node:util";

/** A seeded generator (mulberry32): the same seed gives the same storm. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 up to, but without, `end`. */
  below(end: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * end);
  }

  /** One of `choices`. */
  pick<T>(choices: readonly T[]): T {
    const choice = choices[this.below(choices.length)];
    if (choice === undefined) throw new Error("nothing to choose from");
    return choice;
  }
}

const turn = promisify(setImmediate);

/** Lets the event loop go round so many times, which takes no fixed time on purpose. */
export async function turns(count: number): Promise<void> {
  for (let left = count; left > 0; left--) await turn();
}
