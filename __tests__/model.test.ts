/**
 * Random sequences of calls, snapshots, restores, forks and closes over several sandboxes, compared
 * with a simple model of what the guest's state must be. A failure names its seed;
 * `AMPOULE_MODEL_SEED=<seed>` plays that one only.
 */
import { expect, test } from "@jest/globals";
import { type AmpouleError, Sandbox, type Snapshot } from "../ts/index.js";
import { async, HOST_FUNCTIONS, rustGuest, sync } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { Random } from "./support/random.js";

const STEPS = 300;
const SEEDS = process.env["AMPOULE_MODEL_SEED"]
  ? [Number(process.env["AMPOULE_MODEL_SEED"])]
  : [1, 2, 3, 4, 5, 6, 7, 8, Date.now() % 2 ** 31];
const SANDBOXES_MAX = 5;
const SNAPSHOTS_MAX = 5;
const WORDS_MAX = 300_000;
const FILE = new Uint8Array(4000).map((_, index) => (index * 7) % 251);

/** Marsaglia's xorshift, as in the guest. */
function step(word: number): number {
  let next = word;
  next ^= next << 13;
  next ^= next >>> 17;
  next ^= next << 5;
  return next >>> 0;
}

/** What the guest's state must be. */
class Model {
  words: Uint32Array = new Uint32Array(0);
  offset = 0;
  last = 0;

  copy(): Model {
    return Object.assign(new Model(), this, { words: this.words.slice() });
  }

  resize(length: number): void {
    const words = new Uint32Array(length);
    words.set(this.words.subarray(0, length));
    this.words = words;
  }

  write(at: number, count: number, seed: number): void {
    let next = seed;
    for (let index = at; index < at + count; index++) {
      next = step(next);
      this.words[index] = next;
    }
  }

  read(count: number): number {
    const bytes = FILE.subarray(this.offset, this.offset + count);
    this.offset += bytes.length;
    this.last = bytes.reduce((sum, byte) => sum + byte, 0);
    return this.last;
  }

  hash(): number {
    let hash = (this.words.length ^ this.last) >>> 0;
    for (const word of this.words) {
      const mixed = Math.imul(hash ^ word, 0x0100_0193);
      hash = ((mixed << 5) | (mixed >>> 27)) >>> 0;
    }
    return step((hash ^ 1) >>> 0);
  }
}

/** A sandbox, what it holds, and what it goes back to by default. */
interface Live {
  readonly sandbox: Sandbox;
  readonly origin: Model;
  readonly restoresAfterCalls: boolean;
  model: Model;
}

interface Taken {
  readonly snapshot: Snapshot;
  readonly model: Model;
}

const options = {
  hostFunctions: HOST_FUNCTIONS,
  stdout: "ignore",
  stderr: "ignore",
} as const;

/** One sequence. */
class Sequence {
  readonly #random: Random;
  readonly #live: Live[] = [];
  readonly #taken: Taken[] = [];
  readonly done: string[] = [];

  constructor(seed: number) {
    this.#random = new Random(seed);
  }

  /** Does the next thing. */
  async step(): Promise<void> {
    if (this.#live.length === 0) {
      await this.#create();
      return;
    }
    const live = this.#random.pick(this.#live);
    const choice = this.#random.below(100);
    if (choice < 45) await this.#call(live);
    else if (choice < 55) await this.#check(live);
    else if (choice < 60) await this.#poison(live);
    else if (choice < 75) await this.#restore(live);
    else if (choice < 83) await this.#snapshot(live);
    else if (choice < 90) await this.#fork(live);
    else if (choice < 95) await this.#create();
    else if (choice < 97) this.#forget();
    else await this.#close(live);
  }

  /** Compares everything that is left, and closes it. */
  async end(): Promise<void> {
    for (const { snapshot, model } of this.#taken.splice(0)) {
      const sandbox = await Sandbox.create({ ...options, snapshot } as never);
      snapshot.close();
      await this.#check({ sandbox, model, origin: model, restoresAfterCalls: false });
      await sandbox.close();
    }
    for (const live of this.#live.splice(0)) {
      await this.#check(live);
      await live.sandbox.close();
    }
  }

  async release(): Promise<void> {
    for (const { snapshot } of this.#taken) snapshot.close();
    await Promise.all(this.#live.map(({ sandbox }) => sandbox.close()));
  }

  async #function(live: Live, name: string, ...args: unknown[]): Promise<unknown> {
    const mayWait = this.#random.below(2) === 0;
    const value = mayWait
      ? await async(live.sandbox, name)(...args)
      : sync(live.sandbox, name)(...args);
    return value;
  }

  async #call(live: Live): Promise<void> {
    const { sandbox } = live;
    const { model } = live;
    const { words } = model;
    switch (words.length === 0 ? 0 : this.#random.below(4)) {
      case 0: {
        const length = this.#random.below(this.#random.pick([100, 20_000, WORDS_MAX])) + 1;
        this.done.push(`${sandbox.id}: resize ${length}`);
        await this.#function(live, "model_resize", length);
        model.resize(length);
        break;
      }
      case 1: {
        const count = this.#random.below(6000);
        this.done.push(`${sandbox.id}: read ${count}`);
        expect(await this.#function(live, "model_read", count)).toBe(model.read(count));
        break;
      }
      default: {
        const at = this.#random.below(words.length);
        const most = this.#random.pick([1, 1000, words.length]);
        const count = Math.min(this.#random.below(most) + 1, words.length - at);
        const seed = this.#random.below(2 ** 31) + 1;
        this.done.push(`${sandbox.id}: write ${count} words at ${at}`);
        await this.#function(live, "model_write", at, count, seed);
        model.write(at, count, seed);
      }
    }
    if (live.restoresAfterCalls) live.model = live.origin.copy();
  }

  async #check(live: Live): Promise<void> {
    this.done.push(`${live.sandbox.id}: hash`);
    const expected = live.model.hash();
    expect(await this.#function(live, "model_hash")).toBe(expected);
    // This was a call, too.
    if (live.restoresAfterCalls) live.model = live.origin.copy();
  }

  /** Ends a call badly: the sandbox goes back by itself, or is restored here. */
  async #poison(live: Live): Promise<void> {
    const [name, args, code] = this.#random.pick([
      ["panic", ["told to"], "ERR_AMPOULE_GUEST_ABORT"],
      ["recurse", [100_000], "ERR_AMPOULE_GUEST_FAULT"],
      ["spin_forever", [{ timeoutMs: 5 }], "ERR_AMPOULE_TIMEOUT"],
    ] as const);
    this.done.push(`${live.sandbox.id}: ${name}`);
    const failure = await this.#function(live, name, ...args).catch((error) => error);
    expect((failure as AmpouleError).code).toBe(code);
    expect(live.sandbox.state).toBe(live.restoresAfterCalls ? "ready" : "poisoned");
    live.model = live.origin.copy();
    if (!live.restoresAfterCalls) await this.#restore(live);
  }

  async #restore(live: Live): Promise<void> {
    const { sandbox } = live;
    const to = this.#random.below(2) === 0 ? this.#taken[0] : undefined;
    const some = to === undefined ? undefined : this.#random.pick(this.#taken);
    this.done.push(`${sandbox.id}: restore ${some?.snapshot.id ?? ""}`);
    if (this.#random.below(3) === 0) sandbox.restoreSync(some?.snapshot as never);
    else await sandbox.restore(some?.snapshot as never);
    live.model = (some?.model ?? live.origin).copy();
  }

  async #snapshot(live: Live): Promise<void> {
    if (this.#taken.length >= SNAPSHOTS_MAX) this.#forget();
    const snapshot = await live.sandbox.snapshot();
    this.done.push(`${live.sandbox.id}: snapshot ${snapshot.id}`);
    this.#taken.push({ snapshot, model: live.model.copy() });
  }

  async #fork(live: Live): Promise<void> {
    if (this.#live.length >= SANDBOXES_MAX) {
      await this.#close(this.#random.pick(this.#live));
      return;
    }
    const sandbox = await live.sandbox.fork({ restore: "never" });
    this.done.push(`${live.sandbox.id}: fork ${sandbox.id}`);
    this.#add(sandbox, live.model, false);
  }

  async #create(): Promise<void> {
    if (this.#live.length >= SANDBOXES_MAX) return;
    const taken = this.#taken.length > 0 ? this.#random.pick(this.#taken) : undefined;
    const restoresAfterCalls = this.#random.below(4) === 0;
    const restore = restoresAfterCalls ? "after-call" : "never";
    const source =
      taken !== undefined && this.#random.below(2) === 0
        ? { snapshot: taken.snapshot }
        : { guest: rustGuest("testing"), memory: "32MiB", files: { "/data/file": FILE } };
    const sandbox = await Sandbox.create({ ...options, ...source, restore } as never);
    const model = "snapshot" in source ? taken?.model : undefined;
    this.done.push(`create ${sandbox.id} ${model === undefined ? "" : taken?.snapshot.id}`);
    this.#add(sandbox, model ?? new Model(), restoresAfterCalls);
  }

  #add(sandbox: Sandbox, model: Model, restoresAfterCalls: boolean): void {
    this.#live.push({ sandbox, model: model.copy(), origin: model.copy(), restoresAfterCalls });
  }

  #forget(): void {
    const [taken] = this.#taken.splice(this.#random.below(this.#taken.length), 1);
    if (taken === undefined) return;
    this.done.push(`close snapshot ${taken.snapshot.id}`);
    taken.snapshot.close();
  }

  async #close(live: Live): Promise<void> {
    this.done.push(`${live.sandbox.id}: close`);
    this.#live.splice(this.#live.indexOf(live), 1);
    await live.sandbox.close();
  }
}

describeWithKvm("random sequences equal a model", () => {
  test.each(SEEDS)(
    "seed %i",
    async (seed) => {
      const sequence = new Sequence(seed);
      try {
        for (let step = 0; step < STEPS; step++) await sequence.step();
        await sequence.end();
      } catch (error) {
        await sequence.release();
        const last = sequence.done.slice(-30).join("\n  ");
        (error as Error).message +=
          `\nseed ${seed}, after ${sequence.done.length} steps:\n  ${last}`;
        throw error;
      }
    },
    60_000,
  );
});
