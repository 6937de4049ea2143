/** Where a guest's output goes. */
import type { Writable } from "node:stream";
import { AmpouleError } from "../../errors.js";
import type { OutputOption } from "../../options.js";
import { sourceError } from "../failures.js";
import { messageOf, peek } from "../foreign.js";
import { native } from "../native/native.js";
import { describeType, invalid } from "../options/checks.js";
import { adopt, isThenable } from "../thenable.js";

/**
 * Takes chunks of output. A promise asks to wait before the guest goes on. Behind the last chunk of a
 * run nothing goes on: only what may still fail is worth waiting for then.
 */
export type Sink = (chunk: Uint8Array, isLast: boolean) => unknown;

export type OutputName = "stdout" | "stderr";

/** Checks the option `name`. */
export function checkOutput(option: unknown, name: OutputName): OutputOption {
  const isKnown = option === "print" || option === "ignore" || option === "inherit";
  if (isKnown || typeof option === "function" || typeof peek(option, "write") === "function") {
    return option as OutputOption;
  }
  const accepted = '"print", "ignore", "inherit", a writable stream or a function';
  throw invalid(name, `must be ${accepted}, got ${describeType(option)}`);
}

/** Makes a sink of the option `name`; `print` is the one for `"print"`. */
export function openSink(option: OutputOption, name: OutputName, print: Sink): Sink {
  if (option === "print") return print;
  if (option === "ignore") return () => {};
  if (option === "inherit") return streamSink(process[name], name);
  if (typeof option === "function") return (chunk) => option(chunk);
  return streamSink(option, name);
}

/** Writes to a stream of the user's, and fails as soon as it is known that nobody gets the output. */
function streamSink(stream: Writable, name: OutputName): Sink {
  let failed: { readonly cause: unknown } | undefined;
  return (chunk, isLast) => {
    const gone = failed ?? whyGone(stream);
    if (gone !== undefined) throw undeliverable(name, gone.cause);
    const isFull =
      stream.write(chunk, (error) => {
        if (!error) return;
        failed = { cause: error };
        // Told by the call. Without a listener the stream's own event would end the process.
        if (peek(stream, "listenerCount") !== undefined && stream.listenerCount("error") === 0) {
          stream.once("error", ignore);
        }
      }) === false;
    if (!isFull || isLast || typeof peek(stream, "on") !== "function") return undefined;
    return drained(stream).catch((cause: unknown) => {
      throw undeliverable(name, cause);
    });
  };
}

function ignore(): void {}

/** How many runs write to a stream. */
const runs = new WeakMap<Writable, number>();

/**
 * Takes care of errors of `stream` while a run writes to it, as a pipeline does. Returns how to end
 * that, which tells what has failed.
 */
export function attend(option: unknown, name: OutputName): () => AmpouleError | undefined {
  const isEmitter = ["write", "on", "off"].every(
    (method) => typeof peek(option, method) === "function",
  );
  if (!isEmitter) return () => undefined;
  const stream = option as Writable;
  const count = runs.get(stream) ?? 0;
  if (count === 0) stream.on("error", ignore);
  runs.set(stream, count + 1);
  return () => {
    const left = (runs.get(stream) ?? 1) - 1;
    runs.set(stream, left);
    if (left === 0) stream.off("error", ignore);
    const errored = peek(stream, "errored");
    return errored === undefined || errored === null ? undefined : undeliverable(name, errored);
  };
}

function undeliverable(name: OutputName, cause: unknown): AmpouleError {
  const message = `nobody gets the guest's ${name} any more: ${messageOf(cause) || "its stream failed"}`;
  return new AmpouleError("ERR_AMPOULE_HOST_FUNCTION", message, {
    cause,
    details: { option: name },
  });
}

/** Why `stream` takes nothing any more; `undefined` if it does. */
function whyGone(stream: Writable): { readonly cause: unknown } | undefined {
  const errored = peek(stream, "errored");
  if (errored !== undefined && errored !== null) return { cause: errored };
  if (peek(stream, "destroyed") === true || peek(stream, "closed") === true) {
    return { cause: new Error("the stream was destroyed") };
  }
  if (peek(stream, "writableEnded") === true) return { cause: new Error("the stream was ended") };
  return undefined;
}

/** Who waits for a stream; all sandboxes that write to it share its listeners, of which Node.js counts ten. */
const waits = new WeakMap<Writable, Promise<void>>();

/** Resolves when `stream` takes more; rejects when it never will. */
function drained(stream: Writable): Promise<void> {
  const known = waits.get(stream);
  if (known !== undefined) return known;
  const wait = new Promise<void>((resolve, reject) => {
    const settle = (act: () => void): void => {
      waits.delete(stream);
      stream.off("drain", onDrain).off("close", onClose).off("error", onError);
      act();
    };
    const onDrain = (): void => settle(resolve);
    const onError = (error: unknown): void => settle(() => reject(error));
    const onClose = (): void => settle(() => reject(whyGone(stream)?.cause));
    stream.on("drain", onDrain).on("close", onClose).on("error", onError);
  });
  waits.set(stream, wait);
  return wait;
}

/** What became of output that was handed on: to be waited for, failed, or neither. */
export type Handed = Promise<unknown> | { readonly error: AmpouleError } | undefined;

/** The two outputs of one sandbox. */
export class Outputs {
  readonly #handle: number;
  readonly #sinks: readonly [stdout: Sink, stderr: Sink];
  /** What failed when nothing could wait for it. */
  #late: AmpouleError | undefined;

  constructor(handle: number, sinks: readonly [stdout: Sink, stderr: Sink]) {
    this.#handle = handle;
    this.#sinks = sinks;
  }

  /** Hands on what is pending. `isLast`: the run is over. */
  drain(isLast = false): Handed {
    const waits: Promise<unknown>[] = [];
    let error = this.#late;
    this.#late = undefined;
    for (const [index, sink] of this.#sinks.entries()) {
      const chunk = native().takeOutput(this.#handle, index + 1);
      if (chunk.length === 0) continue;
      try {
        const wait = sink(chunk, isLast);
        if (isThenable(wait)) waits.push(adopt(wait));
      } catch (problem) {
        error ??= sourceError("output", problem);
      }
    }
    if (waits.length === 0) return error && { error };
    const all = Promise.all(waits);
    if (error === undefined) return all;
    all.catch(() => {});
    return { error };
  }

  /** {@link drain} where nothing can wait: a failure that comes later is told with the next output. */
  drainSync(): { readonly error: AmpouleError } | undefined {
    const handed = this.drain();
    if (!isThenable(handed)) return handed;
    handed.then(undefined, (problem: unknown) => {
      this.#late ??= sourceError("output", problem);
      process.emitWarning(`output of a guest was lost: ${this.#late.message}`, {
        type: "AmpouleWarning",
        code: "AMPOULE_OUTPUT_LOST",
      });
    });
    return undefined;
  }
}

/** Collects a stream's chunks. */
export class Capture {
  readonly #chunks: Uint8Array[] = [];

  readonly sink: Sink = (chunk) => {
    this.#chunks.push(chunk);
  };

  /** Everything so far, in memory of its own. */
  bytes(): Uint8Array<ArrayBuffer> {
    const length = this.#chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    const bytes = new Uint8Array(length);
    let position = 0;
    for (const chunk of this.#chunks) {
      bytes.set(chunk, position);
      position += chunk.length;
    }
    return bytes;
  }
}
