/** Where a guest's standard input comes from. */

import type { Readable } from "node:stream";
import { isUint8Array } from "node:util/types";
import type { InputOption } from "../../options.js";
import { sourceError } from "../failures.js";
import { peek } from "../foreign.js";
import { describeType, invalid, reading } from "../options/checks.js";
import { forget, isThenable } from "../thenable.js";

/** Bytes handed to the guest at a time. */
const CHUNK_BYTES = 256 * 1024;

type Source = Iterator<Uint8Array> | AsyncIterator<Uint8Array>;

/** Standard input as a sequence of bounded chunks. */
export class Input {
  #rest: Uint8Array | null = null;
  /** What was left when the guest was ready: where a restore leads back to. */
  #start: Uint8Array | null = null;
  #ended = false;
  /** Opened when the guest first reads, so that it fails there if it does. */
  readonly #open: (() => Source) | null;
  #source: Source | undefined;

  constructor(option: InputOption) {
    if (typeof option === "string") this.#rest = Buffer.from(option);
    else if (isUint8Array(option)) this.#rest = option;
    this.#open = option === null || this.#rest !== null ? null : () => open(option as Streamed);
  }

  /**
   * The next bytes; `null` at the end.
   *
   * @throws AmpouleError `ERR_AMPOULE_HOST_FUNCTION` if the source fails, and as a rejection.
   */
  next(): Uint8Array | null | Promise<Uint8Array | null> {
    try {
      return this.#next();
    } catch (error) {
      throw sourceError("stdin", error);
    }
  }

  #next(): Uint8Array | null | Promise<Uint8Array | null> {
    for (;;) {
      if (this.#rest !== null && this.#rest.length > 0) return this.#slice();
      if (this.#open === null || this.#ended) return null;
      this.#source ??= this.#open();
      const result = this.#source.next();
      if (isThenable(result)) return this.#later(result);
      if (!this.#take(result)) return null;
    }
  }

  async #later(first: PromiseLike<IteratorResult<Uint8Array>>): Promise<Uint8Array | null> {
    try {
      let result = await first;
      while (this.#take(result)) {
        if (this.#rest !== null && this.#rest.length > 0) return this.#slice();
        if (this.#source === undefined) return null;
        result = await this.#source.next();
      }
      return null;
    } catch (error) {
      throw sourceError("stdin", error);
    }
  }

  /** The guest is ready: {@link rewind} comes back to this place. */
  mark(): void {
    this.#start = this.#rest;
  }

  /**
   * The guest went back to where it was ready. Bytes are read again from there; what an iterator has
   * given cannot come back, and what it has not must not be found by another run: it is at its end.
   */
  rewind(): void {
    this.close();
    this.#rest = this.#start;
  }

  /** Lets the source go. */
  close(): void {
    this.#rest = null;
    if (this.#ended) return;
    this.#ended = true;
    try {
      // Nobody waits for the source's own clean-up, and nobody is left to hear of its failure.
      forget(this.#source?.return?.());
    } catch {
      // Nor of this one.
    }
  }

  /** Keeps what the source has given; `false` at its end, and if the guest has gone back meanwhile. */
  #take(item: IteratorResult<Uint8Array>): boolean {
    if (item.done || this.#ended) return false;
    const { value } = item;
    if (!isUint8Array(value)) {
      throw invalid("stdin", `must yield Uint8Array chunks, got ${describeType(value)}`);
    }
    this.#rest = value;
    return true;
  }

  #slice(): Uint8Array {
    const rest = this.#rest as Uint8Array;
    this.#rest = rest.subarray(CHUNK_BYTES);
    return rest.subarray(0, CHUNK_BYTES);
  }
}

type Streamed = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

function open(option: Streamed): Source {
  return Symbol.asyncIterator in option
    ? option[Symbol.asyncIterator]()
    : option[Symbol.iterator]();
}

/** Checks the option `stdin`. */
export function checkInput(stdin: unknown): InputOption {
  const usable =
    stdin === null ||
    typeof stdin === "string" ||
    isUint8Array(stdin) ||
    (typeof stdin === "object" &&
      reading("stdin", () => Symbol.asyncIterator in stdin || Symbol.iterator in stdin));
  if (!usable) {
    const accepted = "null, a string, a Uint8Array or an (async) iterable of Uint8Array";
    throw invalid("stdin", `must be ${accepted}, got ${describeType(stdin)}`);
  }
  expectErrors(stdin);
  return stdin as InputOption;
}

/**
 * A stream that fails before the guest reads from it would end the process by its event. Whoever reads
 * gets the error.
 */
function expectErrors(stdin: unknown): void {
  if (typeof peek(stdin, "pipe") !== "function" || typeof peek(stdin, "on") !== "function") return;
  reading("stdin", () => (stdin as Readable).on("error", () => {}));
}
