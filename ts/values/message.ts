/** The payloads of messages: argument lists, single results, and errors. */
import { stepsFor } from "./budget.js";
import type { Codec, Reading } from "./codec.js";
import { compile, tellsFloats } from "./compile.js";
import { type Decoded, decode } from "./decode.js";
import { Mismatch } from "./mismatch.js";
import type { Shape } from "./shape.js";
import type { Writer } from "./writer.js";

/** Decodes one CBOR item of `length` bytes at the start of `bytes`; see {@link decode}. */
export function decodeItem(bytes: Uint8Array, length: number): unknown {
  const decoded = decodeCounted(bytes, length);
  return decoded instanceof Mismatch ? decoded : decoded.value;
}

function decodeCounted(bytes: Uint8Array, length: number, exact = false): Decoded | Mismatch {
  if (exact) return decode(bytes, length, true);
  // Most results are scalars of a byte or few, not worth setting a decoder up.
  const first = bytes[0] as number;
  if (length === 1) {
    if (first < 0x18) return single(first);
    if (first >= 0x20 && first < 0x38) return single(0x1f - first);
    if (first === 0xf6) return single(null);
    if (first === 0xf4 || first === 0xf5) return single(first === 0xf5);
  } else if (first === 0x1a && length === 5) {
    return single(bigEndian(bytes));
  } else if (first === 0x3a && length === 5) {
    return single(-1 - bigEndian(bytes));
  }
  return decode(bytes, length);
}

function single(value: unknown): Decoded {
  return { value, items: 1 };
}

function bigEndian(bytes: Uint8Array): number {
  const [, a, b, c, d] = bytes as unknown as [number, number, number, number, number];
  return a * 0x100_0000 + ((b << 16) | (c << 8) | d);
}

function reading({ items }: Decoded, exact: boolean): Reading {
  return { steps: stepsFor(items), exact, keep: false };
}

/** One value of one type, as a whole payload. */
export class ItemCodec {
  readonly #shape: Shape;
  #compiled: Codec | undefined;
  /** Whether it matters which numbers are floats. */
  #exact = false;

  constructor(shape: Shape) {
    this.#shape = shape;
  }

  /** Compiled when it is first needed: a guest may have thousands of functions. */
  get #codec(): Codec {
    if (this.#compiled === undefined) {
      this.#compiled = compile(this.#shape);
      this.#exact = tellsFloats([this.#shape]);
    }
    return this.#compiled;
  }

  write(value: unknown, writer: Writer): Mismatch | undefined {
    return this.#codec.write(value, writer);
  }

  read(bytes: Uint8Array, length: number): unknown {
    const codec = this.#codec;
    const decoded = decodeCounted(bytes, length, this.#exact);
    return decoded instanceof Mismatch
      ? decoded
      : codec.read(decoded.value, reading(decoded, this.#exact));
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
  readonly #shapes: readonly Shape[];
  #compiled: readonly Codec[] | undefined;
  #exact = false;

  constructor(parameters: readonly { readonly name: string; readonly shape: Shape }[]) {
    this.names = parameters.map(({ name }) => name);
    this.#shapes = parameters.map(({ shape }) => shape);
  }

  get #codecs(): readonly Codec[] {
    if (this.#compiled === undefined) {
      this.#compiled = this.#shapes.map(compile);
      this.#exact = tellsFloats(this.#shapes);
    }
    return this.#compiled;
  }

  /** Writes the first arguments of `values`, as many as there are parameters. */
  write(values: readonly unknown[], writer: Writer): ArgumentProblem | undefined {
    const codecs = this.#codecs;
    writer.head(0x80, codecs.length);
    writer.depth = 1;
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
    const codecs = this.#codecs;
    const decoded = decodeCounted(bytes, length, this.#exact);
    if (decoded instanceof Mismatch) return String(decoded);
    const items = decoded.value;
    if (!Array.isArray(items) || items.length !== this.names.length) {
      return `takes ${this.names.length} arguments`;
    }
    const state = reading(decoded, this.#exact);
    for (let index = 0; index < items.length; index++) {
      const value = (codecs[index] as Codec).read(items[index], state);
      if (value instanceof Mismatch) {
        return `parameter ${JSON.stringify(this.names[index])} ${value}`;
      }
      items[index] = value;
    }
    return items as unknown[];
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
