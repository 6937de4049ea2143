/** Kills sandboxes from another thread. */
import { once } from "node:events";
import { existsSync } from "node:fs";
import { Worker } from "node:worker_threads";

/** The other thread. */
export class Killer {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, () => void>();

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.on("message", ({ id }: { id: number }) => {
      this.#waiting.get(id)?.();
      this.#waiting.delete(id);
    });
  }

  /** Starts the thread and waits until it is ready to kill. */
  static async start(): Promise<Killer> {
    requireBuild();
    const worker = new Worker(new URL("./killer-thread.mjs", import.meta.url));
    await once(worker, "message");
    return new Killer(worker);
  }

  /** Kills a sandbox `after` so many steps of computing there. Resolves when that is done. */
  kill(id: number, after: number): Promise<void> {
    const done = new Promise<void>((resolve) => this.#waiting.set(id, resolve));
    this.#worker.postMessage({ id, after });
    return done;
  }

  /** Ends the thread. */
  async stop(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Workers load the compiled package, since nothing compiles TypeScript for them. */
export function requireBuild(): void {
  if (existsSync(new URL("../../dist/index.js", import.meta.url))) return;
  throw new Error("dist/ is missing: run `npm run build` first");
}
