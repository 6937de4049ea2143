/**
 * Writes CBOR (RFC 8949, definite lengths) straight into a buffer that is usually the native staging
 * buffer, so that a small message costs no allocation.
 */
const MAJOR_TEXT = 0x60;
const MAJOR_BYTES = 0x40;

/** Steps one message may take to check, beyond what its length explains. */
export const WORK_MAX = 1_000_000;

const encoder = new TextEncoder();
const scratch = new DataView(new ArrayBuffer(8));
const scratchBytes = new Uint8Array(scratch.buffer);

/** Thrown by {@link Writer} when a message outgrows its limit; callers turn it into the public error. */
export class MessageTooLarge extends Error {
  readonly limit: number;

  constructor(limit: number) {
    super(`message is larger than ${limit} bytes`);
    this.limit = limit;
  }
}

/** A growing CBOR message. */
export class Writer {
  bytes: Uint8Array;
  /** Where the next byte goes: the length of the message so far. */
  position = 0;
  /** Arrays and maps that are open around the next item. */
  depth = 0;
  /** Alternatives that may still be tried: bounds what a hostile schema can make the host do. */
  work = 0;
  #limit = 0;
  readonly #grow: (minimumBytes: number) => Uint8Array;

  /** `grow` returns another buffer of at least that many bytes; its contents do not matter. */
  constructor(bytes: Uint8Array, grow: (minimumBytes: number) => Uint8Array) {
    this.bytes = bytes;
    this.#grow = grow;
  }

  /** Begins a message of at most `limit` bytes in `bytes`. */
  begin(bytes: Uint8Array, limit: number): void {
    this.bytes = bytes;
    this.position = 0;
    this.depth = 0;
    this.work = WORK_MAX;
    this.#limit = limit;
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    const end = this.position + count;
    if (end <= this.bytes.length && end <= this.#limit) return;
    if (end > this.#limit) throw new MessageTooLarge(this.#limit);
    const larger = this.#grow(Math.min(Math.max(end, 2 * this.bytes.length), this.#limit));
    larger.set(this.bytes.subarray(0, this.position));
    this.bytes = larger;
  }

  /** A byte that is a whole item: a simple value, or a head with a small argument. */
  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.position++] = value;
  }

  /** The head of an item: its major type, already shifted, and a non-negative safe integer. */
  head(major: number, argument: number): void {
    this.reserve(9);
    const { bytes } = this;
    let at = this.position;
    if (argument < 24) {
      bytes[at++] = major | argument;
    } else if (argument < 0x100) {
      bytes[at++] = major | 24;
      bytes[at++] = argument;
    } else if (argument < 0x1_0000) {
      bytes[at++] = major | 25;
      bytes[at++] = argument >>> 8;
      bytes[at++] = argument;
    } else {
      const wide = argument > 0xffff_ffff;
      bytes[at++] = major | (wide ? 27 : 26);
      if (wide) {
        const high = Math.floor(argument / 0x1_0000_0000);
        bytes[at++] = high >>> 24;
        bytes[at++] = high >>> 16;
        bytes[at++] = high >>> 8;
        bytes[at++] = high;
      }
      bytes[at++] = argument >>> 24;
      bytes[at++] = argument >>> 16;
      bytes[at++] = argument >>> 8;
      bytes[at++] = argument;
    }
    this.position = at;
  }

  /** A safe integer. */
  integer(value: number): void {
    if (value >= 0) this.head(0x00, value);
    else this.head(0x20, -1 - value);
  }

  /** An integer between -2^63 and 2^64-1. */
  bigInteger(value: bigint): void {
    const major = value < 0n ? 0x20 : 0x00;
    const argument = value < 0n ? -1n - value : value;
    if (argument <= 0xffff_ffffn) {
      this.head(major, Number(argument));
      return;
    }
    scratch.setBigUint64(0, argument);
    this.byte(major | 27);
    this.raw(scratchBytes);
  }

  /** A 64-bit float. */
  float(value: number): void {
    scratch.setFloat64(0, value);
    this.byte(0xfb);
    this.raw(scratchBytes);
  }

  /** A string; lone surrogates become U+FFFD, as everywhere on the platform. */
  text(value: string): void {
    // Short strings are written in place behind a one-byte head when they turn out to be ASCII.
    const { length } = value;
    if (length < 24) {
      this.reserve(1 + length);
      const start = this.position + 1;
      let index = 0;
      for (; index < length; index++) {
        const unit = value.charCodeAt(index);
        if (unit > 0x7f) break;
        this.bytes[start + index] = unit;
      }
      if (index === length) {
        this.bytes[start - 1] = MAJOR_TEXT | length;
        this.position = start + length;
        return;
      }
    }
    const size = Buffer.byteLength(value);
    this.head(MAJOR_TEXT, size);
    this.reserve(size);
    encoder.encodeInto(value, this.bytes.subarray(this.position, this.position + size));
    this.position += size;
  }

  /** A byte string. */
  byteString(value: Uint8Array): void {
    this.head(MAJOR_BYTES, value.length);
    this.raw(value);
  }

  /** Bytes that are CBOR already. */
  raw(value: Uint8Array): void {
    this.reserve(value.length);
    this.bytes.set(value, this.position);
    this.position += value.length;
  }
}

/** A writer with memory of its own. */
export function ownWriter(limit: number): Writer {
  const writer = new Writer(new Uint8Array(256), (minimum) => new Uint8Array(minimum));
  writer.begin(writer.bytes, limit);
  return writer;
}
