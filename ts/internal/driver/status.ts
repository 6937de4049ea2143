/** What a sandbox is in, and what that does to its input and to whoever waits for it. */
import type { AmpouleError } from "../../errors.js";
import type { SandboxState } from "../../state.js";
import type { MessageLimits } from "../../values/writer.js";
import { exited, fromNative, poisonedBy, sandboxError } from "../failures.js";
import type { Import } from "../functions/imports.js";
import { type NativeStatistics, native } from "../native/native.js";
import { Step, stepKind } from "../native/numbers.js";
import { SandboxTelemetry, type TelemetrySettings } from "../telemetry/sandbox.js";
import type { Input } from "./input.js";
import { leftBehind } from "./left-behind.js";
import { LIVES, type Life, possible } from "./life.js";
import { Queue } from "./queue.js";
import { NOTHING_DONE } from "./run.js";
import { enter, type StepTarget } from "./running.js";

/** What a sandbox is from the beginning. */
export interface Identity {
  readonly handle: number;
  readonly name: string;
  readonly messageLimits: MessageLimits;
  /** Whether the native side restores the sandbox when a call has ended. */
  readonly restoresAfterCalls: boolean;
  readonly input: Input;
  readonly telemetry: TelemetrySettings;
}

/** The status of one sandbox, which all that drive it share. */
export class Status {
  readonly handle: number;
  readonly name: string;
  readonly messageLimits: MessageLimits;
  readonly restoresAfterCalls: boolean;
  readonly input: Input;
  readonly telemetry: SandboxTelemetry;
  /** Runs that wait for what is going on. */
  readonly queue = new Queue();
  /** Where it is; set here and by whoever makes something begin and end. */
  life: Life = LIVES.made;
  /** What poisoned or broke the sandbox. */
  failure: AmpouleError | null = null;
  /** The error of a kill that has hit what is going on. */
  killed: AmpouleError | undefined;
  /** The guest's imports, by number; known once the guest is ready. */
  imports: readonly Import[] = [];
  readonly #target: StepTarget;
  #finalStatistics: NativeStatistics = NOTHING_DONE;

  /** `target` hears of the steps of the sandbox. */
  constructor(identity: Identity, target: StepTarget) {
    this.handle = identity.handle;
    this.name = identity.name;
    this.messageLimits = identity.messageLimits;
    this.restoresAfterCalls = identity.restoresAfterCalls;
    this.input = identity.input;
    this.telemetry = new SandboxTelemetry(
      identity.handle,
      identity.name,
      identity.telemetry,
      identity.restoresAfterCalls,
      () => this.imports,
    );
    this.#target = target;
  }

  get state(): SandboxState {
    return this.life.shown;
  }

  /** Steps of the sandbox are awaited from now on. */
  listen(): void {
    enter(this.handle, this.#target);
  }

  poison(error: AmpouleError): void {
    this.life = possible(this.life.next.poison, this.life);
    if (this.life.shown === "closed") return;
    this.failure ??= error;
    this.input.close();
    const why = this.failure;
    this.queue.rejectDoomed(() => poisonedBy(this.name, why));
  }

  /** A restore has failed. */
  break(error: AmpouleError): void {
    this.life = possible(this.life.next.break, this.life);
    if (this.life.shown === "closed") return;
    this.failure = error;
    this.input.close();
    const what = `is broken since ${error.code}`;
    this.queue.rejectDoomed(() => sandboxError(this.name, "ERR_AMPOULE_BROKEN", what, error));
  }

  /** The guest is where it was in native snapshot `snapshot`, 0 for what it was made from. */
  restored(snapshot: number): void {
    this.failure = null;
    if (snapshot === 0) this.input.rewind();
    else this.input.close();
    this.telemetry.restored(snapshot);
  }

  /**
   * Takes note of the final step `step`, whose error is `error` if it stands for one. None is made for a
   * step that needs none: with its stack trace that costs 10 us, a third of a call.
   */
  conclude(step: number, error: AmpouleError | undefined): void {
    const kind = stepKind(step);
    if (kind === Step.ready) this.input.mark();
    switch (leftBehind(step, this.restoresAfterCalls)) {
      case "broken":
        this.break(
          kind === Step.stopped && error !== undefined
            ? error
            : fromNative(native().stopped(this.handle)),
        );
        break;
      case "poisoned":
        this.poison(error ?? exited(0, null, ""));
        break;
      case "restored":
        this.input.rewind();
        break;
      default:
    }
  }

  /**
   * The same of a run that this side has ended by `verdict`, whatever the guest has come to. `step` is none
   * where the native side has refused.
   */
  annul(step: number, verdict: AmpouleError): void {
    const left = leftBehind(step, this.restoresAfterCalls);
    if (left === "broken") this.break(verdict);
    else if (this.killed !== undefined) this.poison(this.killed);
    else if (left === "restored") this.input.rewind();
    else if (left !== "ready") this.poison(verdict);
  }

  /** What was going on is over. */
  leave(): void {
    if (this.life.isDoomed && this.killed !== undefined) this.poison(this.killed);
    this.killed = undefined;
    this.life = possible(this.life.next.leave, this.life);
    if (this.life.shown === "closed") this.release();
  }

  /** Gives the native sandbox up, once nothing is going on in it. */
  release(): void {
    this.#finalStatistics = native().statistics(this.handle) ?? NOTHING_DONE;
    this.listen();
    native().close(this.handle);
  }

  /** The sandbox's counters; while it runs and after it is closed, their last values. */
  statistics(): NativeStatistics {
    if (this.life.shown === "closed") return this.#finalStatistics;
    this.#finalStatistics = native().statistics(this.handle) ?? this.#finalStatistics;
    return this.#finalStatistics;
  }
}
