/** Lists, sets and tuples. */
import { type Codec, DEPTH_MAX, type Reading, TOO_DEEP } from "./codec.js";
import { listOf } from "./host-values.js";
import { Mismatch } from "./mismatch.js";
import type { ArrayShape } from "./shape.js";
import type { Writer } from "./writer.js";

const MAJOR_ARRAY = 0x80;

/** The codec of a list whose first items have codecs of their own. */
export class ArrayCodec implements Codec {
  readonly acceptsNull = false;
  readonly #prefix: readonly Codec[];
  readonly #items: Codec | null;
  readonly #shape: ArrayShape;

  constructor(prefix: readonly Codec[], items: Codec | null, shape: ArrayShape) {
    this.#prefix = prefix;
    this.#items = items;
    this.#shape = shape;
  }

  expected(): string {
    const { minimum, maximum } = this.#shape;
    if (minimum === maximum) return `an array of ${minimum} items`;
    return this.#items === null ? "a tuple" : "an array";
  }

  #mismatch(value: unknown, list: ArrayLike<unknown> | undefined): Mismatch {
    return list === undefined
      ? Mismatch.at(() => this.expected(), value)
      : Mismatch.of(() => this.expected(), `an array of ${list.length} items`);
  }

  #fits(list: ArrayLike<unknown> | undefined): list is ArrayLike<unknown> {
    const { minimum, maximum } = this.#shape;
    return list !== undefined && list.length >= minimum && list.length <= maximum;
  }

  write(value: unknown, writer: Writer): Mismatch | undefined {
    const list = listOf(value);
    if (!this.#fits(list)) return this.#mismatch(value, list);
    if (writer.depth >= DEPTH_MAX) return Mismatch.of(TOO_DEEP, "deeper");
    writer.depth++;
    writer.head(MAJOR_ARRAY, list.length);
    for (let index = 0; index < list.length; index++) {
      const problem = this.#codecOf(index).write(list[index], writer);
      if (problem !== undefined) return problem.at(index);
    }
    writer.depth--;
    return undefined;
  }

  read(value: unknown, reading: Reading): unknown {
    const list = Array.isArray(value) ? (value as unknown[]) : undefined;
    if (!this.#fits(list)) return this.#mismatch(value, list);
    const result = reading.keep ? new Array<unknown>(list.length) : (list as unknown[]);
    for (let index = 0; index < list.length; index++) {
      const item = this.#codecOf(index).read(list[index], reading);
      if (item instanceof Mismatch) return item.at(index);
      result[index] = item;
    }
    return result;
  }

  #codecOf(index: number): Codec {
    return (this.#prefix[index] ?? this.#items) as Codec;
  }
}
