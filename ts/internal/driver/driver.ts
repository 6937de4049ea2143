/**
 * Drives one native sandbox. What is asked of it is checked here, and done by one of the two ways to drive
 * it: {@link Runs} goes on whenever the native side has a step, {@link SyncCalls} loops on this thread.
 */
import type { AmpouleError } from "../../errors.js";
import type { SandboxState } from "../../state.js";
import type { MessageLimits } from "../../values/writer.js";
import { fromNative, poisonedBy, sandboxError } from "../failures.js";
import type { SyncCallee } from "../functions/callee.js";
import type { Import } from "../functions/imports.js";
import { type NativeStatistics, native } from "../native/native.js";
import { Step, StopReason, stepKind } from "../native/numbers.js";
import { staging } from "../native/staging.js";
import { isInside } from "../scope.js";
import type { SandboxTelemetry } from "../telemetry/sandbox.js";
import type { SpanHandle } from "../telemetry/spans.js";
import { Runs } from "./async.js";
import { possible } from "./life.js";
import { Outputs, type Sink } from "./outputs.js";
import { busy, closed, reentrant, unusable } from "./refusals.js";
import { type Request, UNBOUNDED } from "./run.js";
import { leave, type StepTarget, targetOf } from "./running.js";
import { type Identity, Status } from "./status.js";
import { SyncCalls } from "./sync.js";

/** The driver of a sandbox of this thread with which something asynchronous is going on. */
export function driverOf(handle: number): Driver | undefined {
  const target = targetOf(handle);
  return target instanceof Driver ? target : undefined;
}

/** How a sandbox's driver is made. */
export interface DriverOptions extends Identity {
  readonly stdout: Sink;
  readonly stderr: Sink;
}

/** Drives one native sandbox. */
export class Driver implements SyncCallee, StepTarget {
  readonly handle: number;
  readonly name: string;
  readonly messageLimits: MessageLimits;
  readonly telemetry: SandboxTelemetry;
  readonly #status: Status;
  readonly #runs: Runs;
  readonly #calls: SyncCalls;
  #closed: Promise<void> | undefined;
  #gone: (() => void) | undefined;

  constructor(options: DriverOptions) {
    this.handle = options.handle;
    this.name = options.name;
    this.messageLimits = options.messageLimits;
    const status = new Status(options, this);
    const outputs = new Outputs(options.handle, [options.stdout, options.stderr]);
    this.telemetry = status.telemetry;
    this.#status = status;
    this.#runs = new Runs(status, outputs);
    this.#calls = new SyncCalls(status, outputs);
  }

  get state(): SandboxState {
    return this.#status.state;
  }

  /** What poisoned or broke the sandbox. */
  get failure(): AmpouleError | null {
    return this.#status.failure;
  }

  /** The guest is ready, and imports these, by number. */
  bind(imports: readonly Import[]): void {
    this.#status.imports = imports;
  }

  /** Throws if no call can be made now, and none can be queued. */
  refuseIfUnusable(): void {
    const { state, failure } = this.#status;
    const error = unusable(this.name, state, failure);
    if (error !== undefined) throw error;
    this.#refuseIfInside();
  }

  #refuseIfInside(): void {
    if (this.#status.life.isCall || isInside(this.#runs)) throw reentrant(this.name);
  }

  /** Throws if no call can begin now. */
  refuseIfBusy(): void {
    this.refuseIfUnusable();
    if (this.state !== "ready") {
      throw busy(this.name, "runs another call; await it, or use call, which queues");
    }
  }

  /** Whether an asynchronous run would begin at once. */
  get isIdle(): boolean {
    return this.#status.life.isFree;
  }

  /** Makes the VM and starts the guest, which is recorded below the span `around`. */
  start<T>(request: Request<T>, around?: SpanHandle): Promise<T> {
    const { timeoutMs, cpuTimeMs } = request.times;
    return this.#runs.enqueue(request, (run) => {
      run.recording = this.telemetry.beginStart(around, run.inContext);
      return native().startAsync(this.handle, timeoutMs, cpuTimeMs);
    });
  }

  /**
   * Calls export number `functionId`. Its arguments stand in the staging buffer if the driver is
   * idle, else in `queued`.
   */
  run<T>(
    request: Request<T>,
    functionId: number,
    length: number,
    queued: Uint8Array | undefined,
  ): Promise<T> {
    const { timeoutMs, cpuTimeMs } = request.times;
    return this.#runs.enqueue(request, (run) => {
      const staged = queued === undefined ? length : 0;
      run.recording = this.telemetry.begin(request, staged, run.inContext);
      if (queued !== undefined) staging(length).set(queued);
      return native().callAsync(this.handle, functionId, length, timeoutMs, cpuTimeMs);
    });
  }

  /** Takes a snapshot, after what is queued; it is native snapshot number such-and-such then. */
  snapshot(): Promise<number> {
    this.refuseIfUnusable();
    return this.#runs.enqueue(
      {
        ...UNBOUNDED,
        what: "snapshot",
        finish: () => native().takeSnapshot(this.handle, this.name),
      },
      () => native().snapshotAsync(this.handle),
    );
  }

  /**
   * Goes back to native snapshot `snapshot`, 0 for what the sandbox was made from, after what is
   * queued and on a runner. From any state but closed.
   */
  restore(snapshot = 0): Promise<void> {
    this.#refuseToRestore();
    return this.#runs.enqueue(
      { ...UNBOUNDED, what: "restore", finish: () => this.#status.restored(snapshot) },
      () => {
        this.telemetry.beginRestore();
        return native().restoreAsync(this.handle, snapshot);
      },
      true,
    );
  }

  /** Whether {@link restoreSync} is possible and takes microseconds only. */
  restoresCheaply(snapshot: number): boolean {
    return (
      this.isIdle && this.state !== "closed" && native().restoresCheaply(this.handle, snapshot)
    );
  }

  /** {@link restore} on this thread; nothing may be going on. */
  restoreSync(snapshot = 0): void {
    this.#refuseToRestore();
    if (!this.isIdle) throw busy(this.name, "runs a call; use restore, which queues");
    const status = this.#status;
    this.telemetry.beginRestore();
    const step = native().restoreSync(this.handle, snapshot);
    if (stepKind(step) === Step.restored) {
      status.restored(snapshot);
      status.life = possible(status.life.next.restored, status.life);
      return;
    }
    const error = fromNative(native().stopped(this.handle));
    status.break(error);
    throw error;
  }

  #refuseToRestore(): void {
    if (this.state === "closed") throw closed(this.name);
    this.#refuseIfInside();
  }

  /** Handles the step that the native side has. */
  step(): void {
    const step = native().takeStep(this.handle);
    const kind = stepKind(step);
    if (kind === Step.closed) {
      leave(this.handle);
      this.#gone?.();
    } else if (kind !== Step.none) {
      this.#runs.step(step);
    }
  }

  /** Stops whatever runs and poisons the sandbox. */
  kill(): void {
    const status = this.#status;
    const { life } = status;
    if (!life.isUsable) return;
    const error = sandboxError(this.name, "ERR_AMPOULE_KILLED", "was killed");
    native().kill(this.handle, StopReason.killed);
    const next = possible(life.next.kill, life);
    if (!next.isUsable) {
      status.poison(error);
      return;
    }
    status.life = next;
    status.killed ??= error;
    if (!next.isRun) return;
    status.queue.rejectAll(() => poisonedBy(this.name, error));
    this.#runs.kill(error);
  }

  /** Ends the sandbox; what runs is stopped first. Resolves when the VM is gone. */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#gone = resolve;
      const status = this.#status;
      status.life = possible(status.life.next.close, status.life);
      status.input.close();
      status.queue.rejectAll(() => sandboxError(this.name, "ERR_AMPOULE_CLOSED", "was closed"));
      if (status.life.isRun) {
        const what = "was closed during the call";
        this.#runs.close(sandboxError(this.name, "ERR_AMPOULE_CLOSED", what));
      } else if (status.life.isFree) {
        status.release();
      } else {
        native().kill(this.handle, StopReason.closed);
      }
    });
    return this.#closed;
  }

  /** The sandbox's counters; while it runs and after it is closed, their last values. */
  statistics(): NativeStatistics {
    return this.#status.statistics();
  }

  /** Calls export number `functionId`, whose arguments stand in the staging buffer, and waits. */
  runSync<T>(request: Request<T>, functionId: number, length: number): T {
    try {
      return this.#calls.call(request, functionId, length);
    } finally {
      this.#runs.next();
    }
  }
}
