/** What a table of guest functions calls: one sandbox, or something that finds one for each call. */
import type { MessageLimits } from "../../values/writer.js";
import type { Request } from "../driver/run.js";

/** Takes calls of a guest's functions, whose arguments have been encoded. */
export interface Callee {
  /** The name of the sandbox, or of those that there are. */
  readonly name: string;
  /** What the arguments of a call may take. */
  readonly messageLimits: MessageLimits;
  /** Whether an asynchronous call would begin at once. */
  readonly isIdle: boolean;
  /** Throws if no call can be made now, and none can be queued. */
  refuseIfUnusable(): void;
  /**
   * Calls export number `functionId`. Its arguments stand in the staging buffer if the callee is
   * idle, else in `queued`.
   */
  run<T>(
    request: Request<T>,
    functionId: number,
    length: number,
    queued: Uint8Array | undefined,
  ): Promise<T>;
}

/** A callee that also takes calls on this thread. */
export interface SyncCallee extends Callee {
  /** Throws if no call can begin now. */
  refuseIfBusy(): void;
  /** Calls export number `functionId`, whose arguments stand in the staging buffer, and waits. */
  runSync<T>(request: Request<T>, functionId: number, length: number): T;
}
