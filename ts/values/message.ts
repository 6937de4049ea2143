/** The payloads of messages: argument lists, single results, and errors. */
import { decode } from "cborg";
import { type Codec, compile, type Reading } from "./codec.js";
import { Mismatch } from "./mismatch.js";
import type { Shape } from "./schema.js";
import { WORK_MAX, type Writer } from "./writer.js";

/** Payloads as the native side has validated them: definite, bounded in depth, text keys, no rest. */
const DECODE_OPTIONS = {
  allowIndefinite: false,
  coerceUndefinedToNull: true,
  rejectDuplicateMapKeys: true,
};

/**
 * Decodes one CBOR item at the start of `bytes`, which has `length` bytes. Nothing in the result
 * refers to `bytes`. Returns a {@link Mismatch} if it cannot be decoded.
 */
export function decodeItem(bytes: Uint8Array, length: number): unknown {
  // Most results are scalars of a byte or few, not worth the general decoder's set-up.
  const first = bytes[0] as number;
  if (length === 1) {
    if (first < 0x18) return first;
    if (first >= 0x20 && first < 0x38) return 0x1f - first;
    if (first === 0xf6) return null;
    if (first === 0xf4 || first === 0xf5) return first === 0xf5;
  } else if (first === 0x1a && length === 5) {
    return bigEndian(bytes);
  } else if (first === 0x3a && length === 5) {
    return -1 - bigEndian(bytes);
  }
  try {
    return decode(bytes.subarray(0, length), DECODE_OPTIONS);
  } catch (error) {
    return new Mismatch("a value", (error as Error).message.replace(/^CBOR decode error:? ?/, ""));
  }
}

function bigEndian(bytes: Uint8Array): number {
  const [, a, b, c, d] = bytes as unknown as [number, number, number, number, number];
  return a * 0x100_0000 + ((b << 16) | (c << 8) | d);
}

function reading(length: number): Reading {
  return { work: WORK_MAX + length, depth: 0, keep: false };
}

/** One value of one type, as a whole payload. */
export class ItemCodec {
  readonly #codec: Codec;

  constructor(shape: Shape) {
    this.#codec = compile(shape);
  }

  write(value: unknown, writer: Writer): Mismatch | undefined {
    return this.#codec.write(value, writer);
  }

  read(bytes: Uint8Array, length: number): unknown {
    const item = decodeItem(bytes, length);
    return item instanceof Mismatch ? item : this.#codec.read(item, reading(length));
  }
}

/** An argument that is not what its parameter declares. */
export interface ArgumentProblem {
  readonly parameter: string;
  readonly text: string;
}

/** A list of arguments. */
export class ArgumentsCodec {
  readonly names: readonly string[];
  readonly #codecs: readonly Codec[];

  constructor(parameters: readonly { readonly name: string; readonly shape: Shape }[]) {
    this.names = parameters.map(({ name }) => name);
    this.#codecs = parameters.map(({ shape }) => compile(shape));
  }

  /** Writes the first arguments of `values`, as many as there are parameters. */
  write(values: readonly unknown[], writer: Writer): ArgumentProblem | undefined {
    const codecs = this.#codecs;
    writer.head(0x80, codecs.length);
    for (let index = 0; index < codecs.length; index++) {
      const problem = (codecs[index] as Codec).write(values[index], writer);
      if (problem !== undefined) {
        const parameter = this.names[index] as string;
        return { parameter, text: `parameter ${JSON.stringify(parameter)} ${problem}` };
      }
    }
    return undefined;
  }

  /** Reads a list of arguments, or says what is wrong with it. */
  read(bytes: Uint8Array, length: number): unknown[] | string {
    const items = decodeItem(bytes, length);
    if (items instanceof Mismatch) return String(items);
    if (!Array.isArray(items) || items.length !== this.#codecs.length) {
      return `takes ${this.#codecs.length} arguments`;
    }
    const state = reading(length);
    for (let index = 0; index < items.length; index++) {
      const value = (this.#codecs[index] as Codec).read(items[index], state);
      if (value instanceof Mismatch) {
        return `parameter ${JSON.stringify(this.names[index])} ${value}`;
      }
      items[index] = value;
    }
    return items;
  }
}

/** What a guest says of an error. */
export interface ErrorPayload {
  readonly kind: string;
  readonly message: string;
  readonly data: unknown;
}

/** Reads `{kind, message, data?}`; anything else becomes an error that says so. */
export function readError(bytes: Uint8Array, length: number): ErrorPayload {
  const item = decodeItem(bytes, length);
  const { kind, message, data } =
    typeof item === "object" && item !== null ? (item as Record<string, unknown>) : {};
  return {
    kind: typeof kind === "string" ? kind : "Error",
    message: typeof message === "string" ? message : "the guest gave no message",
    data,
  };
}

/** Writes the error that a guest sees when a host function fails. */
export function writeHostError(message: string, writer: Writer): void {
  writer.head(0xa0, 2);
  writer.text("kind");
  writer.text("HostError");
  writer.text("message");
  writer.text(message);
}
