/** The runs that wait for the one in progress: who is refused when something has failed. */
import { expect, test } from "@jest/globals";
import { AmpouleError } from "../../ts/index.js";
import { Queue } from "../../ts/internal/driver/queue.js";

type Waiting = Parameters<Queue["push"]>[0];

/** A queue in which runs of these names wait; those that begin with `restore` lead away from a failure. */
function queueOf(...names: string[]) {
  const queue = new Queue();
  const told: string[] = [];
  const runs = names.map((what) => {
    const recovers = what.startsWith("restore");
    const reject = (error: AmpouleError): void => {
      told.push(`${what}: ${error.message}`);
    };
    const stopListening = (): void => {
      told.push(`${what} is deaf`);
    };
    return { what, recovers, reject, stopListening } as unknown as Waiting;
  });
  for (const run of runs) queue.push(run);
  const rest = (): string[] => {
    const left: string[] = [];
    for (let run = queue.shift(); run !== undefined; run = queue.shift()) left.push(run.what);
    return left;
  };
  return { queue, runs, told, rest };
}

const error = (): AmpouleError => new AmpouleError("ERR_AMPOULE_CLOSED", "no");

test("first come, first served", () => {
  expect(queueOf("a", "b", "c").rest()).toEqual(["a", "b", "c"]);
});

test("one that is withdrawn was there, once", () => {
  const { queue, runs, rest } = queueOf("a", "b", "c");
  const [, b] = runs as [Waiting, Waiting];
  expect([queue.withdraw(b), queue.withdraw(b)]).toEqual([true, false]);
  expect(rest()).toEqual(["a", "c"]);
});

test("a close refuses all", () => {
  const { queue, told, rest } = queueOf("a", "restore", "b");
  queue.rejectAll(error);
  expect(told).toEqual([
    "a is deaf",
    "a: no",
    "restore is deaf",
    "restore: no",
    "b is deaf",
    "b: no",
  ]);
  expect(rest()).toEqual([]);
});

test("a failure refuses those before the first restore", () => {
  const { queue, told, rest } = queueOf("a", "restore", "b");
  queue.rejectDoomed(error);
  expect(told).toEqual(["a is deaf", "a: no"]);
  expect(rest()).toEqual(["restore", "b"]);
});

test("a failure refuses all where nobody restores", () => {
  const { queue, rest } = queueOf("a", "b");
  queue.rejectDoomed(error);
  expect(rest()).toEqual([]);
});
