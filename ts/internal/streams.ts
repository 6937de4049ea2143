/** Where a guest's output goes, and where its input comes from. */
import type { Writable } from "node:stream";
import type { AmpouleError } from "../errors.js";
import { describeType, type InputOption, invalid, type OutputOption } from "../options.js";
import { sourceError } from "./failures.js";
import { native } from "./native.js";

/** Takes chunks of output. A promise asks to wait before the guest goes on. */
export type Sink = (chunk: Uint8Array) => void | Promise<void>;

/** Makes a sink of the option `name`. */
export function openSink(option: OutputOption, name: "stdout" | "stderr"): Sink {
  if (option === "ignore") return () => {};
  if (option === "inherit") return (chunk) => writeTo(process[name], chunk);
  if (typeof option === "function") return (chunk) => option(chunk);
  if (typeof option === "object" && option !== null && typeof option.write === "function") {
    return (chunk) => writeTo(option, chunk);
  }
  const accepted = '"ignore", "inherit", a writable stream or a function';
  throw invalid(name, `must be ${accepted}, got ${describeType(option)}`);
}

function writeTo(stream: Writable, chunk: Uint8Array): void | Promise<void> {
  if (stream.write(chunk)) return undefined;
  if (stream.destroyed) return undefined;
  return new Promise((resolve) => {
    // A stream that fails never drains; its error is its owner's to handle.
    const done = (): void => {
      stream.off("drain", done).off("close", done).off("error", done);
      resolve();
    };
    stream.on("drain", done).on("close", done).on("error", done);
  });
}

/** The two outputs of one sandbox. */
export class Outputs {
  readonly #handle: number;
  readonly #sinks: readonly [stdout: Sink, stderr: Sink];

  constructor(handle: number, sinks: readonly [stdout: Sink, stderr: Sink]) {
    this.#handle = handle;
    this.#sinks = sinks;
  }

  /** Hands on what is pending. Returns a promise to wait for, or what went wrong. */
  drain(isPending: boolean): Promise<unknown> | { error: AmpouleError } | undefined {
    if (!isPending) return undefined;
    const waits: Promise<void>[] = [];
    for (const [index, sink] of this.#sinks.entries()) {
      const chunk = native().takeOutput(this.#handle, index + 1);
      if (chunk.length === 0) continue;
      try {
        const wait = sink(chunk);
        if (wait !== undefined) waits.push(Promise.resolve(wait));
      } catch (error) {
        return { error: sourceError("output", error) };
      }
    }
    return waits.length === 0 ? undefined : Promise.all(waits);
  }
}

/** Collects a stream's chunks. */
export class Capture {
  readonly #chunks: Uint8Array[] = [];

  readonly sink: Sink = (chunk) => {
    this.#chunks.push(chunk);
  };

  /** Everything so far. */
  bytes(): Uint8Array {
    const [only] = this.#chunks;
    if (this.#chunks.length === 1 && only !== undefined) return only;
    return Buffer.concat(this.#chunks);
  }
}

/** Bytes handed to the guest at a time. */
const CHUNK_BYTES = 256 * 1024;

/** Standard input as a sequence of bounded chunks. */
export class Input {
  #rest: Uint8Array | null = null;
  /** What was left when the guest was ready: where a restore leads back to. */
  #start: Uint8Array | null = null;
  #ended = false;
  readonly #iterator: Iterator<Uint8Array> | AsyncIterator<Uint8Array> | null;

  constructor(option: InputOption) {
    if (typeof option === "string") this.#rest = Buffer.from(option);
    else if (option instanceof Uint8Array) this.#rest = option;
    this.#iterator =
      option === null || this.#rest !== null
        ? null
        : Symbol.asyncIterator in (option as object)
          ? (option as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]()
          : (option as Iterable<Uint8Array>)[Symbol.iterator]();
  }

  /** The next bytes; `null` at the end. */
  next(): Uint8Array | null | Promise<Uint8Array | null> {
    if (this.#rest !== null && this.#rest.length > 0) return this.#slice();
    if (this.#iterator === null || this.#ended) return null;
    const result = this.#iterator.next();
    return "then" in result ? result.then((item) => this.#take(item)) : this.#take(result);
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
    this.#ended = true;
    const result = this.#iterator?.return?.();
    // Nobody waits for the source's own clean-up, and nobody is left to hear of its failure.
    if (result !== undefined && "then" in result) result.then(undefined, () => {});
  }

  #take(item: IteratorResult<Uint8Array>): Uint8Array | null | Promise<Uint8Array | null> {
    if (item.done) return null;
    if (!(item.value instanceof Uint8Array)) {
      throw invalid("stdin", `must yield Uint8Array chunks, got ${describeType(item.value)}`);
    }
    this.#rest = item.value;
    return this.next();
  }

  #slice(): Uint8Array {
    const rest = this.#rest as Uint8Array;
    this.#rest = rest.subarray(CHUNK_BYTES);
    return rest.subarray(0, CHUNK_BYTES);
  }
}
