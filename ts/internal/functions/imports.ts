/** Calling the user's host functions and writing their answers. */
import { AmpouleError } from "../../errors.js";
import type { TypedFunction } from "../../interface.js";
import { ArgumentsCodec, ItemCodec, writeHostError } from "../../values/message.js";
import { type MessageLimits, MessageTooLarge } from "../../values/writer.js";
import { errorOf, type Thrown, thrown } from "../failures.js";
import { Resumption } from "../native/numbers.js";
import { stage, staging } from "../native/staging.js";
import type { CallTrace } from "../telemetry/call.js";
import { HOST_FUNCTIONS, traceEither } from "../telemetry/channels.js";
import { cutText } from "../text.js";

/** A plain function of the user's. */
export type HostFunction = (...args: never[]) => unknown;

/** An import of the guest together with the function that implements it. */
export class Import {
  readonly name: string;
  readonly #sandbox: string;
  readonly #function: HostFunction;
  readonly #arguments: ArgumentsCodec;
  readonly #result: ItemCodec;
  readonly #returnsNothing: boolean;

  /** The import `declared` of the sandbox `sandbox`. */
  constructor(declared: TypedFunction, implementation: HostFunction, sandbox: string) {
    this.name = declared.name;
    this.#sandbox = sandbox;
    this.#function = implementation;
    this.#arguments = new ArgumentsCodec(declared.parameters);
    this.#result = new ItemCodec(declared.resultShape);
    this.#returnsNothing = declared.resultShape.kind === "null";
  }

  /** Reads the guest's arguments out of the staging buffer, or says what is wrong with them. */
  arguments(length: number): unknown[] | string {
    const values = this.#arguments.read(staging(length), length);
    return typeof values === "string" ? `${this.name}: ${values}` : values;
  }

  /** Calls the function, without `this`, as a part of the call that `recording` is of. */
  call(values: unknown[], recording: CallTrace | undefined): unknown {
    return recording === undefined
      ? this.#announced(values)
      : recording.inHost(this.name, () => this.#announced(values));
  }

  #announced(values: unknown[]): unknown {
    const implementation = this.#function as (...args: unknown[]) => unknown;
    if (!HOST_FUNCTIONS.hasSubscribers) return implementation(...values);
    const message = { function: this.name, sandbox: this.#sandbox, arguments: values };
    return traceEither(HOST_FUNCTIONS, () => implementation(...values), message);
  }

  /** Writes the function's result into the staging buffer, or says why it cannot be sent. */
  answer(result: unknown, messageLimits: MessageLimits): number | Thrown {
    // As everywhere in the language, what a function returns for nothing is nobody's business.
    const value = this.#returnsNothing ? null : result;
    try {
      const written = stage(messageLimits, (writer) => this.#result.write(value, writer));
      if (typeof written === "number") return written;
      return thrown(new TypeError(`host function ${this.name}: the result ${written}`));
    } catch (error) {
      if (error instanceof MessageTooLarge) {
        return thrown(tooLarge(`host function ${this.name}: the result`, error));
      }
      return thrown(error);
    }
  }
}

/** Writes a host function's failure into the staging buffer. */
export function stageFailure(message: string, messageLimits: MessageLimits): number {
  // Cut so that the report itself always fits: UTF-8 takes at most 3 bytes for each UTF-16 unit.
  const cut = cutText(message, Math.floor((messageLimits.bytes - 64) / 3));
  return stage<never>(messageLimits, (writer) => {
    writeHostError(cut, writer);
    return undefined;
  });
}

/** The error for a message that is larger than it may be. */
export function tooLarge(what: string, { what: unit, limit }: MessageTooLarge): AmpouleError {
  if (unit === "items") {
    return errorOf(
      "ERR_AMPOULE_ITEM_LIMIT",
      `${what} has more than ${limit} items; raise limits.items, or pass less at a time`,
      { details: { limit, option: "limits.items" } },
    );
  }
  return errorOf(
    "ERR_AMPOULE_MESSAGE_TOO_LARGE",
    `${what} cannot fit into a message of ${limit} bytes; raise limits.message`,
    { details: { limitBytes: limit, option: "limits.message" } },
  );
}

/** The failure of a function that returned a promise where nothing can wait for it. */
export function asyncMistake(what: string): AmpouleError {
  return new AmpouleError(
    "ERR_AMPOULE_ASYNC_HOST_FUNCTION",
    `${what} returned a promise during callSync; use call`,
  );
}

/** Resumption and payload length of an answer. */
export type Answer = readonly [resumption: number, length: number];

/** Writes `result`, or the failure to do so, and returns how to resume with it. */
export function answerWith(
  target: Import,
  result: unknown,
  messageLimits: MessageLimits,
  remember: (failure: Thrown) => void,
): Answer {
  const written = target.answer(result, messageLimits);
  if (typeof written === "number") return [Resumption.hostReturn, written];
  remember(written);
  return [Resumption.hostError, stageFailure(written.message, messageLimits)];
}
