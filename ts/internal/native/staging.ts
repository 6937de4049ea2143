/**
 * The staging buffer of this JavaScript thread, through which payloads reach and leave the native
 * side, and the writers that fill it.
 */
import { type MessageLimits, Writer } from "../../values/writer.js";
import { native } from "./native.js";

const EMPTY: Uint8Array = new Uint8Array(0);
const INITIAL_BYTES = 64 * 1024;

let buffer = EMPTY;

/** The staging buffer with at least `minimumBytes`; what stood in a smaller one may be gone. */
export function staging(minimumBytes: number): Uint8Array {
  if (buffer.length < minimumBytes || buffer.length === 0) {
    buffer = native().staging(Math.max(minimumBytes, INITIAL_BYTES));
  }
  return buffer;
}

/** A writer into the staging buffer, until somebody else needs it. */
class Stage {
  #evicted = false;
  readonly writer: Writer = new Writer(EMPTY, (minimum) =>
    this.#evicted ? new Uint8Array(minimum) : staging(minimum),
  );

  begin(limits: MessageLimits): Writer {
    this.#evicted = false;
    this.writer.begin(staging(0), limits);
    return this.writer;
  }

  /** Goes on in memory of its own. */
  evict(): void {
    this.#evicted = true;
    this.writer.bytes = this.writer.bytes.slice();
  }

  /** Puts the message into the staging buffer, if it is not there. */
  finish(): number {
    const { bytes, position } = this.writer;
    if (this.#evicted) staging(position).set(bytes.subarray(0, position));
    return position;
  }
}

const first = new Stage();
let open: Stage | undefined;

/**
 * Lets `write` write a message within `limits` and returns its length; the message then
 * stands in the staging buffer. If `write` returns a problem, that is returned instead.
 */
export function stage<Problem extends object | string>(
  limits: MessageLimits,
  write: (writer: Writer) => Problem | undefined,
): number | Problem {
  const outer = open;
  // A getter of the user's may call a sandbox in the middle of its object being written.
  outer?.evict();
  const mine = outer === undefined ? first : new Stage();
  open = mine;
  try {
    return write(mine.begin(limits)) ?? mine.finish();
  } finally {
    open = outer;
  }
}

/** For short messages, which most are: making an array costs more than copying one. */
const kept = new Uint8Array(256);
let isKeeping = false;

/** Does `act`, which may run code of the user's, and leaves `length` bytes of the buffer as they are. */
export function keepStaged(length: number, act: () => void): void {
  if (isKeeping || length > kept.length) {
    const copy = staging(length).slice(0, length);
    act();
    staging(length).set(copy);
    return;
  }
  isKeeping = true;
  copyBytes(staging(length), kept, length);
  act();
  copyBytes(kept, staging(length), length);
  isKeeping = false;
}

function copyBytes(from: Uint8Array, to: Uint8Array, length: number): void {
  for (let index = 0; index < length; index++) to[index] = from[index] as number;
}
