/**
 * Reads CBOR (RFC 8949) as the native side has validated it: definite lengths, distinct text keys,
 * bounded depth, bignums of at most 128 bits, and no more items than `limits.items`. Looks at every
 * byte once. What is not so is a defect, or memory that somebody wrote meanwhile: it ends the reading
 * with a {@link Mismatch} and nothing worse.
 */
import { Mismatch } from "./mismatch.js";

/** Items that a value may have at all: what a process of the usual size can hold. */
export const ITEMS_MAX = 4_000_000;
const DEPTH_MAX = 64;

/** One value and the number of items of which it is made. */
export interface Decoded {
  readonly value: unknown;
  readonly items: number;
}

/**
 * Decodes the one item that fills the first `length` bytes of `bytes`. Nothing in the result refers
 * to `bytes`. With `exact`, every integer is a `bigint`, so that 1 and 1.0 differ.
 */
export function decode(bytes: Uint8Array, length: number, exact = false): Decoded | Mismatch {
  const decoder = new Decoder(bytes, length, exact);
  try {
    const value = decoder.item(0);
    return decoder.isAtEnd ? { value, items: decoder.items } : wrong("nothing behind it");
  } catch (error) {
    if (error instanceof Unreadable) return wrong(error.message);
    throw error;
  }
}

function wrong(what: string): Mismatch {
  return Mismatch.of(`a value as the guest ABI has it (${what})`, "other bytes");
}

class Unreadable extends Error {}

/** Reads UTF-8 and, unlike a `TextDecoder`, leaves a byte-order mark in its place. */
const utf8 = Buffer.prototype.utf8Slice;
const latin1 = Buffer.prototype.latin1Slice;

class Decoder {
  items = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #end: number;
  readonly #exact: boolean;
  #at = 0;

  constructor(bytes: Uint8Array, length: number, exact: boolean) {
    this.#exact = exact;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, length);
    this.#end = length;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#end;
  }

  item(depth: number): unknown {
    if (++this.items > ITEMS_MAX) throw new Unreadable(`at most ${ITEMS_MAX} items`);
    const first = this.#byte();
    const low = first & 0x1f;
    switch (first >> 5) {
      case 0:
        return this.#integer(low < 24 ? low : this.#unsigned(low));
      case 1:
        return this.#integer(this.#negative(low));
      case 2: {
        const start = this.#skip(this.#length(low));
        return this.#bytes.slice(start, this.#at);
      }
      case 3:
        return this.#text(low);
      case 4:
        return this.#array(this.#length(low), depth);
      case 5:
        return this.#map(this.#length(low), depth);
      case 6:
        return this.#bignum(low);
      default:
        return this.#simple(low);
    }
  }

  #integer(value: number | bigint): number | bigint {
    return this.#exact ? BigInt(value) : value;
  }

  #byte(): number {
    if (this.#at >= this.#end) throw new Unreadable("more bytes");
    return this.#bytes[this.#at++] as number;
  }

  /** Goes on `count` bytes and returns where they start. */
  #skip(count: number): number {
    const start = this.#at;
    if (count > this.#end - start) throw new Unreadable("more bytes");
    this.#at = start + count;
    return start;
  }

  /** The argument of a head; beyond 2^53 a `bigint`. */
  #unsigned(low: number): number | bigint {
    if (low < 24) return low;
    switch (low) {
      case 24:
        return this.#byte();
      case 25:
        return this.#view.getUint16(this.#skip(2));
      case 26:
        return this.#view.getUint32(this.#skip(4));
      case 27: {
        const start = this.#skip(8);
        const high = this.#view.getUint32(start);
        return high < 0x20_0000
          ? high * 0x1_0000_0000 + this.#view.getUint32(start + 4)
          : this.#view.getBigUint64(start);
      }
      default:
        throw new Unreadable("definite lengths");
    }
  }

  #negative(low: number): number | bigint {
    const argument = this.#unsigned(low);
    if (typeof argument === "bigint") return -1n - argument;
    return argument === Number.MAX_SAFE_INTEGER ? -1n - BigInt(argument) : -1 - argument;
  }

  #length(low: number): number {
    const length = this.#unsigned(low);
    // An item takes a byte at least, so that no honest length is beyond the end.
    if (typeof length === "bigint" || length > this.#end - this.#at) {
      throw new Unreadable("lengths within the message");
    }
    return length;
  }

  #text(low: number): string {
    const length = this.#length(low);
    const start = this.#skip(length);
    if (length < SHORT) {
      // Most short texts are ASCII, and then one call into the engine less.
      let index = start;
      while (index < this.#at && (this.#bytes[index] as number) < 0x80) index++;
      if (index === this.#at) return latin1.call(this.#bytes, start, this.#at);
    }
    return utf8.call(this.#bytes, start, this.#at);
  }

  #array(length: number, depth: number): unknown[] {
    if (depth >= DEPTH_MAX) throw new Unreadable(`at most ${DEPTH_MAX} levels`);
    if (length > ITEMS_MAX) throw new Unreadable(`at most ${ITEMS_MAX} items`);
    const items = new Array<unknown>(length);
    for (let index = 0; index < length; index++) items[index] = this.item(depth + 1);
    return items;
  }

  #map(length: number, depth: number): Record<string, unknown> {
    if (depth >= DEPTH_MAX) throw new Unreadable(`at most ${DEPTH_MAX} levels`);
    const map: Record<string, unknown> = {};
    for (let index = 0; index < length; index++) {
      this.items++;
      const first = this.#byte();
      if (first >> 5 !== 3) throw new Unreadable("texts as keys");
      const name = this.#text(first & 0x1f);
      setOwn(map, name, this.item(depth + 1));
    }
    return map;
  }

  /** An integer beyond 64 bits: tag 2 or 3 before its bytes, the highest first. */
  #bignum(tag: number): bigint {
    const first = this.#byte();
    const length = this.#length(first & 0x1f);
    if ((tag !== 2 && tag !== 3) || first >> 5 !== 2 || length > 16) {
      throw new Unreadable("no tags but those of integers of 128 bits");
    }
    const start = this.#skip(length);
    wide.fill(0);
    for (let index = 0; index < length; index++) {
      wide[16 - length + index] = this.#bytes[start + index] as number;
    }
    const value = (wideView.getBigUint64(0) << 64n) | wideView.getBigUint64(8);
    return tag === 2 ? value : -1n - value;
  }

  #simple(low: number): unknown {
    switch (low) {
      case 20:
      case 21:
        return low === 21;
      case 22:
      case 23:
        return null;
      case 25:
        return halfFloat(this.#view.getUint16(this.#skip(2)));
      case 26:
        return this.#view.getFloat32(this.#skip(4));
      case 27:
        return this.#view.getFloat64(this.#skip(8));
      default:
        throw new Unreadable("no unknown simple values");
    }
  }
}

const SHORT = 32;

const wide = new Uint8Array(16);
const wideView = new DataView(wide.buffer);

/** Names that are array indices up to here may cost an object a slot for each index below. */
const SMALL_INDEX = 32;
const FAR_INDEX = "500000000";

/** Makes `name` an own property, whatever it means elsewhere. */
export function setOwn(object: Record<string, unknown>, name: string, value: unknown): void {
  const unit = name.charCodeAt(0);
  if (unit === 0x5f && name === "__proto__") {
    Object.defineProperty(object, name, {
      value,
      configurable: true,
      enumerable: true,
      writable: true,
    });
    return;
  }
  if (unit >= 0x30 && unit <= 0x39 && name.length <= 10 && Number(name) > SMALL_INDEX) {
    // V8 gives an object with the property "1000" room for 1,500: 12 KB that cost the guest 8 bytes.
    // One property far away makes it keep them in a table, and goes again.
    object[FAR_INDEX] = null;
    object[name] = value;
    if (name !== FAR_INDEX) delete object[FAR_INDEX];
    return;
  }
  object[name] = value;
}

/** IEEE 754 binary16: 5 bits of exponent, 10 of fraction. */
function halfFloat(bits: number): number {
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  const magnitude =
    exponent === 0
      ? fraction * 2 ** -24
      : exponent === 31
        ? fraction === 0
          ? Number.POSITIVE_INFINITY
          : Number.NaN
        : (1024 + fraction) * 2 ** (exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}
