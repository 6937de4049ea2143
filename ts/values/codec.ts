/** Functions that check and write, or check and read, one value of a type. */
import type { Mismatch } from "./mismatch.js";
import type { Writer } from "./writer.js";

/** Checks and converts values of one type. */
export interface Codec {
  /** Whether `null` is one of the values: an absent property is then written as `null`. */
  readonly acceptsNull: boolean;
  /** What a value must be, for messages: `a string`, `an integer (uint8, 0 to 255)`. */
  expected(): string;
  /** Writes `value`, or says why it cannot be one of this type. After a mismatch the writer's
   * position is wherever it was then. */
  write(value: unknown, writer: Writer): Mismatch | undefined;
  /** Converts what was decoded from CBOR, or says why it cannot be one of this type. */
  read(value: unknown, reading: Reading): unknown;
}

/** State of one conversion from the guest. */
export interface Reading {
  /** Steps left beyond looking at each item once: bounds what trying alternatives may take. */
  steps: number;
  /** Whether integers were decoded as `bigint`, so that what is a `number` is a float. */
  readonly exact: boolean;
  /** Whether the value may be read once more, so that it must not be converted in place. */
  keep: boolean;
}

/** Levels of nesting in a message, as on the guest's side. */
export const DEPTH_MAX = 64;

export const TOO_DEEP = `nested at most ${DEPTH_MAX} levels deep, the list of arguments included`;
export const TOO_MUCH = "a value whose type can be told with less trying of alternatives";
