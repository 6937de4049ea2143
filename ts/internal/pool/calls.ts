/** `pool.call`: a clean sandbox for each call. */
import type { MessageLimits } from "../../values/writer.js";
import type { Request } from "../driver/run.js";
import type { Callee } from "../functions/callee.js";
import { staging } from "../native/staging.js";
import type { Members } from "./members.js";
import type { PooledSandbox } from "./sandbox.js";

/** Finds a sandbox for each call, and gives it back once the answer is delivered. */
export class PoolCalls implements Callee {
  readonly name: string;
  readonly messageLimits: MessageLimits;
  readonly #members: Members<PooledSandbox>;
  #count = 0;

  constructor(members: Members<PooledSandbox>, name: string, messageLimits: MessageLimits) {
    this.#members = members;
    this.name = name;
    this.messageLimits = messageLimits;
  }

  /** Calls that were begun. */
  get count(): number {
    return this.#count;
  }

  get isIdle(): boolean {
    return this.#members.hasIdle;
  }

  refuseIfUnusable(): void {
    this.#members.refuseIfClosed();
    this.#members.refuseIfFull();
  }

  run<T>(
    request: Request<T>,
    functionId: number,
    length: number,
    queued: Uint8Array | undefined,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const begin = (member: PooledSandbox, bytes: Uint8Array | undefined): void => {
        this.#count++;
        const answer = member.driver.run(request, functionId, length, bytes);
        // In this order: what the caller waits for comes first.
        const giveBack = (): void => this.#members.giveBack(member, true);
        answer.then(resolve, reject);
        answer.then(giveBack, giveBack);
      };
      const member = this.#members.take();
      if (member !== undefined) {
        begin(member, queued);
        return;
      }
      const bytes = queued ?? staging(length).slice(0, length);
      const { what, signal } = request;
      this.#members.wait({ what, signal, begin: (late) => begin(late, bytes), refuse: reject });
    });
  }
}
