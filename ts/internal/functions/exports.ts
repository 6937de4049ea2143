/** The functions of `sandbox.call` and `sandbox.callSync`. */
import type { CallMessage } from "../../diagnostics.js";
import { AmpouleError } from "../../errors.js";
import type { TypedFunction } from "../../interface.js";
import type { CallOptions } from "../../options.js";
import { ArgumentsCodec, ItemCodec } from "../../values/message.js";
import { Mismatch } from "../../values/mismatch.js";
import { type MessageLimits, MessageTooLarge } from "../../values/writer.js";
import type { Ending, Request } from "../driver/run.js";
import { thrown } from "../failures.js";
import { stage, staging } from "../native/staging.js";
import { checkSignal, isArray, readOptions } from "../options/checks.js";
import { resolveTimes, type Times } from "../options/numbers.js";
import { refuseAborted } from "../signals.js";
import { CALLS } from "../telemetry/channels.js";
import { resolveTrace } from "../telemetry/directives.js";
import type { Callee, SyncCallee } from "./callee.js";
import { tooLarge } from "./imports.js";

const CALL_OPTION_KEYS = ["timeoutMs", "cpuTimeMs", "signal", "trace"] as const;

/** One export of a guest, ready to be called in any sandbox of it. */
export class Export {
  readonly name: string;
  readonly #id: number;
  readonly #defaults: Request<unknown>;
  readonly #arguments: ArgumentsCodec;
  readonly #result: ItemCodec;
  readonly #returnsNothing: boolean;

  constructor(id: number, declared: TypedFunction, times: Times) {
    this.name = declared.name;
    this.#id = id;
    this.#arguments = new ArgumentsCodec(declared.parameters);
    this.#result = new ItemCodec(declared.resultShape);
    this.#returnsNothing = declared.resultShape.kind === "null";
    this.#defaults = {
      what: this.name,
      times,
      signal: undefined,
      finish: (ending) => this.#finish(ending),
    };
  }

  /** Calls and waits on this thread. */
  callSync(callee: SyncCallee, args: readonly unknown[]): unknown {
    if (!CALLS.hasSubscribers) return this.#callSync(callee, args);
    return CALLS.traceSync(() => this.#callSync(callee, args), this.#message(callee, args));
  }

  #callSync(callee: SyncCallee, args: readonly unknown[]): unknown {
    const request = this.#request(args);
    callee.refuseIfBusy();
    const length = this.#stage(args, callee.messageLimits);
    // A getter among the arguments may have used the sandbox.
    callee.refuseIfBusy();
    return callee.runSync(request, this.#id, length);
  }

  /** Calls, after the calls before it. Never throws: what is wrong is a rejection. */
  call(callee: Callee, args: readonly unknown[]): Promise<unknown> {
    if (!CALLS.hasSubscribers) return this.#call(callee, args);
    return CALLS.tracePromise(() => this.#call(callee, args), this.#message(callee, args));
  }

  async #call(callee: Callee, args: readonly unknown[]): Promise<unknown> {
    const request = this.#request(args);
    callee.refuseIfUnusable();
    const length = this.#stage(args, callee.messageLimits);
    // Staged arguments are only safe if the call begins now.
    const queued = callee.isIdle ? undefined : staging(length).slice(0, length);
    return callee.run(request, this.#id, length, queued);
  }

  #message(callee: Callee, args: readonly unknown[]): CallMessage {
    return { function: this.name, sandbox: callee.name, arguments: args };
  }

  #request(args: readonly unknown[]): Request<unknown> {
    const expected = this.#arguments.names.length;
    if (args.length === expected) return this.#defaults;
    if (args.length !== expected + 1) throw this.#wrongCount(args.length);
    const options = args[expected];
    if (options === undefined) return this.#defaults;
    // Most often what stands in the place of the options is one argument too many.
    if (!isOptions(options)) {
      throw this.#wrongCount(args.length);
    }
    const given = readOptions<CallOptions>(options, "options", CALL_OPTION_KEYS);
    const { signal, trace } = given;
    checkSignal(signal);
    refuseAborted(signal, this.name);
    return {
      ...this.#defaults,
      times: resolveTimes(given, this.#defaults.times, "options."),
      signal,
      trace: trace === undefined ? undefined : resolveTrace(trace, "options.trace"),
    };
  }

  #wrongCount(count: number): AmpouleError {
    const { names } = this.#arguments;
    const list = names.length === 0 ? "" : ` (${names.join(", ")})`;
    const plural = (number: number): string => `${number} argument${number === 1 ? "" : "s"}`;
    const message = `${this.name}: takes ${plural(names.length)}${list}, got ${plural(count)}`;
    return new AmpouleError("ERR_AMPOULE_ARGUMENT", message, { details: { function: this.name } });
  }

  #stage(args: readonly unknown[], limits: MessageLimits): number {
    let problem: number | { parameter: string; text: string };
    try {
      problem = stage(limits, (writer) => this.#arguments.write(args, writer));
    } catch (error) {
      if (error instanceof MessageTooLarge) throw tooLarge(`${this.name}: the arguments`, error);
      // A getter or a proxy's trap failed: code of the user's, as a host function is.
      if (error instanceof AmpouleError) throw error;
      throw new AmpouleError(
        "ERR_AMPOULE_ARGUMENT",
        `${this.name}: the arguments cannot be read: ${thrown(error).message}`,
        { details: { function: this.name }, cause: error },
      );
    }
    if (typeof problem === "number") return problem;
    throw new AmpouleError("ERR_AMPOULE_ARGUMENT", `${this.name}: ${problem.text}`, {
      details: { function: this.name, parameter: problem.parameter },
    });
  }

  #finish(ending: Ending): unknown {
    if (ending.kind !== "return") throw new Error(`unexpected ending ${ending.kind}`);
    const { length } = ending;
    const value = this.#result.read(staging(length), length);
    if (value instanceof Mismatch) {
      throw new AmpouleError("ERR_AMPOULE_RESULT", `${this.name}: the result ${value}`, {
        details: { function: this.name },
      });
    }
    return this.#returnsNothing ? undefined : value;
  }
}

/** Exports that sandboxes share, by interface and then by time limits. */
const shared = new WeakMap<readonly TypedFunction[], Map<string, readonly Export[]>>();
/** Different time limits of one guest that are kept. */
const SHARED_MAX = 16;

/**
 * What `exports` of a guest need to be called, in its order. All sandboxes of a guest with the same
 * time limits share it: for sixty functions it takes 150 KiB.
 */
export function exportsOf(exports: readonly TypedFunction[], times: Times): readonly Export[] {
  const byTimes = shared.get(exports) ?? new Map<string, readonly Export[]>();
  shared.set(exports, byTimes);
  const key = `${times.timeoutMs} ${times.cpuTimeMs}`;
  const known = byTimes.get(key);
  if (known !== undefined) return known;
  const made = exports.map((declared, id) => new Export(id, declared, times));
  if (byTimes.size >= SHARED_MAX) byTimes.clear();
  byTimes.set(key, made);
  return made;
}

/** Whether that can be meant as the options of a call. */
function isOptions(value: unknown): value is object {
  return typeof value === "object" && value !== null && !isArray(value);
}
