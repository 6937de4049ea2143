/** The runs of one sandbox that wait for the one in progress, in order. */
import type { AmpouleError } from "../../errors.js";
import type { Run } from "./run.js";

/** First come, first served. */
export class Queue {
  readonly #runs: Run[] = [];

  push(run: Run): void {
    this.#runs.push(run);
  }

  shift(): Run | undefined {
    return this.#runs.shift();
  }

  /** Takes `run` out again; `false` if it does not wait. */
  withdraw(run: Run): boolean {
    const index = this.#runs.indexOf(run);
    if (index >= 0) this.#runs.splice(index, 1);
    return index >= 0;
  }

  /** Rejects all that wait, each with an error of its own. */
  rejectAll(error: () => AmpouleError): void {
    this.#reject(this.#runs.length, error);
  }

  /** Rejects those before the first that leads away from a failure. */
  rejectDoomed(error: () => AmpouleError): void {
    const at = this.#runs.findIndex((run) => run.recovers);
    this.#reject(at < 0 ? this.#runs.length : at, error);
  }

  #reject(count: number, error: () => AmpouleError): void {
    for (const run of this.#runs.splice(0, count)) {
      run.stopListening();
      run.reject(error());
    }
  }
}
