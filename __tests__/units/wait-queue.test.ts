/** The callers of a pool that wait, and when the pool may try again to make a sandbox. */
import { describe, expect, test } from "@jest/globals";
import { AmpouleError } from "../../ts/index.js";
import { Backoff } from "../../ts/internal/pool/backoff.js";
import { type Waiter, WaitQueue } from "../../ts/internal/pool/wait-queue.js";

/** A queue in which callers of these names wait, and what they were told. */
function queueOf(...names: string[]) {
  const told: string[] = [];
  const queue = new WaitQueue<string>(() => told.push("left"));
  const waiters = names.map((what) => {
    const abort = new AbortController();
    const waiter: Waiter<string> = {
      what,
      signal: abort.signal,
      begin: (member) => told.push(`${what} has ${member}`),
      refuse: (error) => told.push(`${what}: ${error.code}`),
    };
    queue.join(waiter);
    return { waiter, abort };
  });
  return { queue, waiters, told };
}

const CLOSED = new AmpouleError("ERR_AMPOULE_CLOSED", "closed");

describe("the queue", () => {
  test("serves in order, and nobody when it is empty", () => {
    const { queue, told } = queueOf("a", "b");
    expect([queue.serve("1"), queue.serve("2"), queue.serve("3")]).toEqual([true, true, false]);
    expect(told).toEqual(["a has 1", "b has 2"]);
    expect([queue.length, queue.first]).toEqual([0, undefined]);
  });

  test.each([
    [0, ["b has 1", "c has 2"]],
    [1, ["a has 1", "c has 2"]],
    [2, ["a has 1", "b has 2"]],
  ])("is left from place %d by a signal", (place, served) => {
    const { queue, waiters, told } = queueOf("a", "b", "c");
    waiters[place]?.abort.abort();
    const name = waiters[place]?.waiter.what;
    expect(told.splice(0)).toEqual([`${name}: ERR_AMPOULE_ABORTED`, "left"]);
    queue.serve("1");
    queue.serve("2");
    expect(told).toEqual(served);
    expect(queue.length).toBe(0);
  });

  test("forgets the signal of who was served", () => {
    const { queue, waiters, told } = queueOf("a");
    queue.serve("1");
    waiters[0]?.abort.abort();
    expect(told).toEqual(["a has 1"]);
  });

  test("refuses one, who must still wait", () => {
    const { queue, waiters, told } = queueOf("a", "b");
    queue.refuse(waiters[1]?.waiter, CLOSED);
    queue.refuse(waiters[1]?.waiter, CLOSED);
    queue.refuse(undefined, CLOSED);
    expect(told).toEqual(["b: ERR_AMPOULE_CLOSED"]);
    expect(queue.first).toBe(waiters[0]?.waiter);
  });

  test("refuses all who wait now, and not who comes meanwhile", () => {
    const { queue, told } = queueOf("a", "b");
    const late: Waiter<string> = {
      what: "late",
      signal: undefined,
      begin: () => {},
      refuse: () => told.push("late"),
    };
    queue.refuseAll(() => {
      if (queue.length === 1) queue.join(late);
      return CLOSED;
    });
    expect(told).toEqual(["a: ERR_AMPOULE_CLOSED", "b: ERR_AMPOULE_CLOSED"]);
    expect(queue.first).toBe(late);
    queue.serve("1");
  });
});

test("attempts are unbounded until one fails, and then none may begin for a while", () => {
  const backoff = new Backoff();
  expect([backoff.allows(0), backoff.allows(5)]).toEqual([true, true]);
  backoff.failed({}, () => {});
  expect([backoff.allows(0), backoff.allows(1)]).toEqual([false, false]);
  backoff.succeeded();
  // What succeeded had begun before: the pause goes on.
  expect(backoff.allows(0)).toBe(false);
  backoff.stop();
});
