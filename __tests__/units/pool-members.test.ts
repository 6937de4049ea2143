/** Who gets a sandbox of a pool, with members that are no sandboxes and do what the test says. */
import { describe, expect, test } from "@jest/globals";
import { AmpouleError } from "../../ts/index.js";
import { type Bounds, type Member, Members } from "../../ts/internal/pool/members.js";

/** A member whose restore ends when the test says so. */
class Fake implements Member {
  readonly name: string;
  isReady = true;
  isClosed = false;
  #end: ((error?: Error) => void) | undefined;

  constructor(name: string) {
    this.name = name;
  }

  restore(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#end = (error) => (error === undefined ? resolve() : reject(error));
    });
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }

  /** Ends the restore in progress. */
  async restored(error?: Error): Promise<void> {
    await jobs();
    this.#end?.(error);
    await jobs();
  }
}

/** Lets everything run that waits for nothing but its turn. */
const jobs = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const BOUNDS: Bounds = {
  min: 1,
  max: 2,
  maxQueue: 1,
  idleMs: Number.POSITIVE_INFINITY,
};

function pool(bounds: Partial<Bounds> = {}) {
  const made: Fake[] = [];
  let failing: AmpouleError | undefined;
  const members = new Members<Fake>("p", { ...BOUNDS, ...bounds }, async () => {
    if (failing !== undefined) throw failing;
    const member = new Fake(`m${made.length}`);
    made.push(member);
    return member;
  });
  const waiting = (name: string, told: string[]): void => {
    members.wait({
      what: name,
      signal: undefined,
      begin: (member) => told.push(`${name} has ${member.name}`),
      refuse: (error) => told.push(`${name}: ${error.code}`),
    });
  };
  const fail = (error: AmpouleError | undefined): void => {
    failing = error;
  };
  return { members, made, waiting, fail };
}

/** Counts of what is in which state. */
function states({ members }: { members: Members<Fake> }): string {
  const { idle, busy, restoring, creating, queued } = members.counts;
  return `${idle} idle, ${busy} busy, ${restoring} restoring, ${creating} creating, ${queued} queued`;
}

const NO_ROOM = new AmpouleError("ERR_AMPOULE_NO_HYPERVISOR", "no");

describe("a member", () => {
  test("is idle, busy, restoring and idle again", async () => {
    const it = pool();
    await it.members.fill();
    expect(states(it)).toBe("1 idle, 0 busy, 0 restoring, 0 creating, 0 queued");
    const member = it.members.take() as Fake;
    expect(states(it)).toBe("0 idle, 1 busy, 0 restoring, 0 creating, 0 queued");
    it.members.giveBack(member, true);
    expect(states(it)).toBe("0 idle, 0 busy, 1 restoring, 0 creating, 0 queued");
    await member.restored();
    expect(states(it)).toBe("1 idle, 0 busy, 0 restoring, 0 creating, 0 queued");
    expect(it.members.take()).toBe(member);
  });

  test("that was not touched is idle at once", async () => {
    const it = pool();
    await it.members.fill();
    it.members.giveBack(it.members.take() as Fake, false);
    expect(states(it)).toBe("1 idle, 0 busy, 0 restoring, 0 creating, 0 queued");
  });

  test("that was stopped meanwhile is restored, touched or not", async () => {
    const it = pool();
    await it.members.fill();
    const member = it.members.take() as Fake;
    member.isReady = false;
    it.members.giveBack(member, false);
    expect(states(it)).toBe("0 idle, 0 busy, 1 restoring, 0 creating, 0 queued");
  });

  test("that was stopped while it was idle is not handed out", async () => {
    const it = pool();
    await it.members.fill();
    (it.made[0] as Fake).isReady = false;
    expect(it.members.take()).toBeUndefined();
    expect(states(it)).toBe("0 idle, 0 busy, 1 restoring, 0 creating, 0 queued");
  });

  test("that cannot be restored is closed, and another one made up to the minimum", async () => {
    const it = pool();
    await it.members.fill();
    const member = it.members.take() as Fake;
    it.members.giveBack(member, true);
    await member.restored(new Error("broken"));
    expect(member.isClosed).toBe(true);
    expect(states(it)).toBe("1 idle, 0 busy, 0 restoring, 0 creating, 0 queued");
    expect(it.members.counts).toMatchObject({ created: 2, replaced: 1, restores: 0 });
  });

  test("that is restored and stopped again is replaced", async () => {
    const it = pool();
    await it.members.fill();
    const member = it.members.take() as Fake;
    it.members.giveBack(member, true);
    member.isReady = false;
    await member.restored();
    expect(it.members.counts).toMatchObject({ restores: 1, replaced: 1 });
  });

  test("that was given back twice is given back once", async () => {
    const it = pool();
    await it.members.fill();
    const member = it.members.take() as Fake;
    it.members.giveBack(member, true);
    it.members.giveBack(member, true);
    expect(states(it)).toBe("0 idle, 0 busy, 1 restoring, 0 creating, 0 queued");
  });
});

describe("callers", () => {
  test("get members that are made for them, up to the maximum, and then wait in order", async () => {
    const it = pool({ maxQueue: 10 });
    await it.members.fill();
    const told: string[] = [];
    const first = it.members.take() as Fake;
    for (const name of ["a", "b", "c"]) it.waiting(name, told);
    expect(states(it)).toBe("0 idle, 1 busy, 0 restoring, 1 creating, 3 queued");
    await jobs();
    expect(told).toEqual(["a has m1"]);
    it.members.giveBack(first, true);
    await first.restored();
    expect(told).toEqual(["a has m1", "b has m0"]);
    expect(states(it)).toBe("0 idle, 2 busy, 0 restoring, 0 creating, 1 queued");
  });

  test("are refused when those for whom nobody is on the way fill the queue", async () => {
    const it = pool({ max: 1 });
    await it.members.fill();
    it.members.take();
    expect(() => it.members.refuseIfFull()).not.toThrow();
    it.waiting("a", []);
    expect(() => it.members.refuseIfFull()).toThrow('pool "p" is full');
    expect(it.members.counts.rejected).toBe(1);
  });

  test("hear of a creation that failed, if it was theirs", async () => {
    const it = pool();
    await it.members.fill();
    const told: string[] = [];
    it.members.take();
    it.fail(NO_ROOM);
    it.waiting("a", told);
    await jobs();
    expect(told).toEqual(["a: ERR_AMPOULE_NO_HYPERVISOR"]);
    expect(it.members.counts.failedCreations).toBe(1);
  });

  test("all hear of it where there is no member", async () => {
    const it = pool({ min: 0, maxQueue: 10 });
    it.fail(NO_ROOM);
    const told: string[] = [];
    for (const name of ["a", "b", "c"]) it.waiting(name, told);
    await jobs();
    expect(new Set(told.map((line) => line.slice(3)))).toEqual(
      new Set(["ERR_AMPOULE_NO_HYPERVISOR"]),
    );
    expect(told).toHaveLength(3);
    await it.members.close(true);
  });
});

describe("the end", () => {
  test("waits for who has a member, and refuses newcomers", async () => {
    const it = pool();
    await it.members.fill();
    const member = it.members.take() as Fake;
    let isClosed = false;
    const closing = it.members.close(false).then(() => {
      isClosed = true;
    });
    expect(() => it.members.refuseIfClosed()).toThrow('pool "p" is closed');
    await jobs();
    expect(isClosed).toBe(false);
    it.members.giveBack(member, true);
    await member.restored();
    await closing;
    expect(member.isClosed).toBe(true);
  });

  test("by force waits for nobody", async () => {
    const it = pool({ max: 1 });
    await it.members.fill();
    const member = it.members.take() as Fake;
    const told: string[] = [];
    it.waiting("a", told);
    await it.members.close(true);
    expect(told).toEqual(["a: ERR_AMPOULE_CLOSED"]);
    expect(member.isClosed).toBe(true);
    it.members.giveBack(member, true);
    expect(states(it)).toBe("0 idle, 0 busy, 0 restoring, 0 creating, 0 queued");
  });

  test("of a drain comes when nothing is going on", async () => {
    const it = pool();
    await it.members.fill();
    await it.members.drain();
    const member = it.members.take() as Fake;
    let isDrained = false;
    const draining = it.members.drain().then(() => {
      isDrained = true;
    });
    it.members.giveBack(member, true);
    await jobs();
    expect(isDrained).toBe(false);
    await member.restored();
    await draining;
  });
});
