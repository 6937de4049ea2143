/**
 * Writes CBOR (RFC 8949, definite lengths) straight into a buffer that is usually the native staging
 * buffer, so that a small message costs no allocation.
 */
import { stepsFor } from "./budget.js";

const MAJOR_TEXT = 0x60;
const MAJOR_BYTES = 0x40;
const TAG_BIGNUM = 0xc2;
const TAG_NEGATIVE_BIGNUM = 0xc3;
const INT64_MAX = 2n ** 63n - 1n;
const UINT64_MAX = 2n ** 64n - 1n;

const encoder = new TextEncoder();
const scratch = new DataView(new ArrayBuffer(16));
const scratchBytes = new Uint8Array(scratch.buffer);
const EIGHT_BYTES = scratchBytes.subarray(0, 8);

/** What bounds one message. */
export interface MessageLimits {
  readonly bytes: number;
  /** Items, counted as the native side counts those of a guest. */
  readonly items: number;
}

/** Thrown by {@link Writer} when a message outgrows a limit; callers turn it into the public error. */
export class MessageTooLarge extends Error {
  /** Which limit it was. */
  readonly what: keyof MessageLimits;
  readonly limit: number;

  constructor(what: keyof MessageLimits, limit: number) {
    super(`message has more than ${limit} ${what}`);
    this.what = what;
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
  /** Items so far; keys, byte strings and integers beyond 64 bits count twice. */
  items = 0;
  /** What trying alternatives has taken so far. */
  spent = 0;
  #limits: MessageLimits = { bytes: 0, items: 0 };
  readonly #grow: (minimumBytes: number) => Uint8Array;

  /** `grow` returns another buffer of at least that many bytes; its contents do not matter. */
  constructor(bytes: Uint8Array, grow: (minimumBytes: number) => Uint8Array) {
    this.bytes = bytes;
    this.#grow = grow;
  }

  /** Begins a message within `limits` in `bytes`. */
  begin(bytes: Uint8Array, limits: MessageLimits): void {
    this.bytes = bytes;
    this.position = 0;
    this.depth = 0;
    this.items = 0;
    this.spent = 0;
    this.#limits = limits;
  }

  /** Counts an item that costs as much as `weight` small ones. */
  count(weight: number): void {
    this.items += weight;
    if (this.items > this.#limits.items) throw new MessageTooLarge("items", this.#limits.items);
  }

  /** Takes a step beyond writing, of those that the items so far allow; false: there are too many. */
  step(): boolean {
    return ++this.spent <= stepsFor(this.items);
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    const end = this.position + count;
    const limit = this.#limits.bytes;
    if (end <= this.bytes.length && end <= limit) return;
    if (end > limit) throw new MessageTooLarge("bytes", limit);
    const larger = this.#grow(Math.min(Math.max(end, 2 * this.bytes.length), limit));
    larger.set(this.bytes.subarray(0, this.position));
    this.bytes = larger;
  }

  /** A byte that is a whole item: a simple value, or a head with a small argument. */
  byte(value: number): void {
    this.count(1);
    this.reserve(1);
    this.bytes[this.position++] = value;
  }

  /** The head of an item: its major type, already shifted, and a non-negative safe integer. */
  head(major: number, argument: number): void {
    this.count(1);
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

  /** An integer between -2^127 and 2^128-1: beyond 64 bits a bignum (RFC 8949, section 3.4.3). */
  bigInteger(value: bigint): void {
    const isNegative = value < 0n;
    const argument = isNegative ? -1n - value : value;
    if (argument <= 0xffff_ffffn) {
      this.head(isNegative ? 0x20 : 0x00, Number(argument));
    } else if (argument <= (isNegative ? INT64_MAX : UINT64_MAX)) {
      scratch.setBigUint64(0, argument);
      this.byte((isNegative ? 0x20 : 0x00) | 27);
      this.raw(EIGHT_BYTES);
    } else {
      scratch.setBigUint64(0, argument >> 64n);
      scratch.setBigUint64(8, argument & UINT64_MAX);
      let start = 0;
      while (scratchBytes[start] === 0) start++;
      this.count(1);
      this.byte(isNegative ? TAG_NEGATIVE_BIGNUM : TAG_BIGNUM);
      this.reserve(1);
      this.bytes[this.position++] = MAJOR_BYTES | (16 - start);
      this.raw(scratchBytes.subarray(start));
    }
  }

  /** A 64-bit float. */
  float(value: number): void {
    scratch.setFloat64(0, value);
    this.byte(0xfb);
    this.raw(EIGHT_BYTES);
  }

  /** A string of well-formed Unicode: a lone surrogate has no UTF-8. */
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
        this.count(1);
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

  /** A text that is a key of a map. */
  key(value: string): void {
    this.count(1);
    this.text(value);
  }

  /** A byte string. */
  byteString(value: Uint8Array): void {
    this.count(1);
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
