/** Spans of what is done with sandboxes beside calls. */

import { wellFormed } from "../text.js";
import { Clock } from "./clock.js";
import type { Directives } from "./directives.js";
import { fail, guarded, messageOf, typeOf } from "./failure.js";
import { spanSource } from "./otel.js";
import type { Attributes, SpanHandle, SpanIds } from "./spans.js";
import { warnOfFailure } from "./warnings.js";

/** Names such spans. */
export type OperationName =
  | "ampoule.create"
  | "ampoule.restore"
  | "ampoule.run"
  | "ampoule.snapshot";

/** Something that is being done. */
export class Operation {
  readonly #span: SpanHandle;
  readonly #clock: Clock;

  private constructor(span: SpanHandle, clock: Clock) {
    this.#span = span;
    this.#clock = clock;
  }

  /** Starts a span. `undefined` if nobody wants it, or `directives` are `false`. */
  static begin(
    name: OperationName,
    sandbox: string,
    directives: Directives,
    origin?: SpanIds,
  ): Operation | undefined {
    const source = directives === false ? undefined : spanSource();
    if (source === undefined) return undefined;
    const clock = new Clock();
    const attributes: Attributes = { "ampoule.sandbox.name": wellFormed(sandbox) };
    const links = origin === undefined ? {} : { links: [origin] };
    try {
      const span = source.start(name, { startTime: clock.start, attributes, ...links });
      return span?.isRecording ? new Operation(span, clock) : undefined;
    } catch (error) {
      warnOfFailure(error);
      return undefined;
    }
  }

  get span(): SpanHandle {
    return this.#span;
  }

  get ids(): SpanIds {
    return this.#span.ids;
  }

  describe(attributes: Attributes): void {
    guarded(() => this.#span.setAttributes(attributes));
  }

  /** It has ended, by `error` if there is one. */
  end(error?: unknown): void {
    guarded(() => {
      if (error !== undefined) fail(this.#span, typeOf(error), messageOf(error));
    });
    guarded(() => this.#span.end(this.#clock.now()));
  }
}

/** Does `work` in a span; `operation` is that of {@link Operation.begin}. */
export async function recorded<T>(
  operation: Operation | undefined,
  work: () => Promise<T>,
): Promise<T> {
  if (operation === undefined) return work();
  try {
    const result = await work();
    operation.end();
    return result;
  } catch (error) {
    operation.end(error);
    throw error;
  }
}

/** {@link recorded} for what is done at once. */
export function recordedSync<T>(operation: Operation | undefined, work: () => T): T {
  if (operation === undefined) return work();
  try {
    const result = work();
    operation.end();
    return result;
  } catch (error) {
    operation.end(error);
    throw error;
  }
}
