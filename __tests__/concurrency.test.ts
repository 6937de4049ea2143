/** Many sandboxes at once, many calls of one sandbox, and what a call costs. */
import { AsyncLocalStorage } from "node:async_hooks";
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { afterEach, beforeAll, expect, test } from "@jest/globals";
import { Sandbox, type SandboxOptions } from "../ts/index.js";
import { async, failureOf, HOST_FUNCTIONS, rustGuest, sync } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { turns } from "./support/random.js";
import { threads } from "./support/resources.js";

const SANDBOXES = 64;

/** A promise that somebody else keeps. */
function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

describeWithKvm("concurrency", () => {
  let guest: Uint8Array;
  const made: Sandbox[] = [];

  beforeAll(async () => {
    guest = await readFile(rustGuest("testing"));
  });
  afterEach(async () => {
    await Promise.all(made.splice(0).map((sandbox) => sandbox.close()));
  });

  async function create(
    hostFunctions: object = {},
    options: Partial<SandboxOptions> = {},
  ): Promise<Sandbox> {
    const sandbox = await Sandbox.create({
      guest,
      memory: "32MiB",
      hostFunctions: { ...HOST_FUNCTIONS, ...hostFunctions },
      stdout: "ignore",
      stderr: "ignore",
      ...options,
    });
    made.push(sandbox);
    return sandbox;
  }

  test(`${SANDBOXES} calls wait for host promises over a few threads`, async () => {
    // Whatever threads there are going to be, of Node.js and ours, there are after the first call.
    expect(await async(await create(), "add")(1, 2)).toBe(3);
    const before = threads();
    let waiting = 0;
    const all = gate();
    const release = gate();
    const fetch_number = async (id: number): Promise<number> => {
      if (++waiting === SANDBOXES) all.open();
      await release.opened;
      return id;
    };
    const sandboxes = await Promise.all(
      Array.from({ length: SANDBOXES }, () => create({ fetch_number })),
    );
    const results = Promise.all(
      sandboxes.map((sandbox, index) => async(sandbox, "host_error_unhandled")(index)),
    );
    // All of them wait at the same time, in the middle of their calls.
    await all.opened;
    const during = threads();
    // The kernel has a worker for each virtual machine, which is listed with the process's threads.
    for (const counted of [before, during]) counted.delete("kvm-nx-lpage-re");
    expect(sandboxes.map(({ state }) => state)).toEqual(Array(SANDBOXES).fill("running"));
    expect(Object.fromEntries(during)).toEqual(Object.fromEntries(before));
    expect(during.get("ampoule-runner")).toBeLessThanOrEqual(availableParallelism());
    // Others compute meanwhile: no runner is held.
    expect(await async(await create(), "compute")(1000n)).toEqual(expect.anything());
    release.open();
    expect(await results).toEqual(sandboxes.map((_, index) => index));
    expect(sandboxes.map(({ statistics }) => statistics.hostCalls)).toEqual(
      Array(SANDBOXES).fill(1),
    );
  });

  test("the event loop goes round while guests compute", async () => {
    const sandboxes = await Promise.all(Array.from({ length: SANDBOXES }, () => create()));
    const delay = monitorEventLoopDelay({ resolution: 1 });
    let done = false;
    let rounds = 0;
    const loop = (async () => {
      for (; !done; rounds++) await turns(1);
    })();
    delay.enable();
    const results = await Promise.all(
      sandboxes.map((sandbox) => async(sandbox, "compute")(5_000_000n)),
    );
    delay.disable();
    done = true;
    await loop;
    expect(new Set(results).size).toBe(1);
    const [mean, median, worst] = [delay.mean, delay.percentile(50), delay.max].map((ns) =>
      (ns / 1e6).toFixed(2),
    );
    console.log(
      `event loop while ${SANDBOXES} guests compute: ${rounds} rounds, ` +
        `delay mean ${mean} ms, median ${median} ms, worst ${worst} ms`,
    );
    expect(rounds).toBeGreaterThan(0);
  });

  test("guests that never end do not keep others from running", async () => {
    const hogs = await Promise.all(
      Array.from({ length: availableParallelism() * 2 }, () => create()),
    );
    const held = hogs.map((hog) => failureOf(() => async(hog, "spin_forever")()));
    const other = await create();
    expect(await async(other, "add")(1, 2)).toBe(3);
    for (const hog of hogs) hog.kill();
    const codes = (await Promise.all(held)).map(({ code }) => code);
    expect(new Set(codes)).toEqual(new Set(["ERR_AMPOULE_KILLED"]));
  });

  test("host functions run in the async context of their call", async () => {
    const context = new AsyncLocalStorage<string>();
    const seen: string[] = [];
    const fetch_number = async (id: number): Promise<number> => {
      seen.push(`${id} ${context.getStore()}`);
      await turns(3);
      seen.push(`${id} ${context.getStore()} later`);
      return id;
    };
    const sandbox = await context.run("creation", () => create({ fetch_number }));
    // The second is queued, and begins when the first ends, in the first one's context.
    await Promise.all([
      context.run("first", () => async(sandbox, "host_error_unhandled")(1)),
      context.run("second", () => async(sandbox, "host_error_unhandled")(2)),
      async(sandbox, "host_error_unhandled")(3),
    ]);
    const logged: unknown[] = [];
    const logger = await create({ log_line: () => logged.push(context.getStore()) });
    context.run("sync", () => sync(logger, "log_via_host")("x"));
    expect(seen).toEqual([
      "1 first",
      "1 first later",
      "2 second",
      "2 second later",
      "3 undefined",
      "3 undefined later",
    ]);
    expect(logged).toEqual(["sync"]);
  });

  test("calls of one sandbox run in the order in which they were made", async () => {
    const started: number[] = [];
    const ended: number[] = [];
    const fetch_number = async (id: number): Promise<number> => {
      started.push(id);
      // The later, the faster: order does not come from speed.
      await turns(30 - id);
      return id;
    };
    const sandbox = await create({ fetch_number });
    const order = Array.from({ length: 30 }, (_, index) => index);
    const calls = order.map(async (id) => {
      await async(sandbox, "host_error_unhandled")(id);
      ended.push(id);
    });
    await Promise.all(calls);
    expect(started).toEqual(order);
    expect(ended).toEqual(order);
  });

  test("callSync does not wait for a call that runs", async () => {
    const all = gate();
    const sandbox = await create({
      fetch_number: async (id: number) => {
        await all.opened;
        return id;
      },
    });
    const call = async(sandbox, "host_error_unhandled")(7);
    const busy = await failureOf(() => sync(sandbox, "add")(1, 2));
    expect(busy["code"]).toBe("ERR_AMPOULE_BUSY");
    expect(sandbox.state).toBe("running");
    all.open();
    expect(await call).toBe(7);
    expect(sync(sandbox, "add")(1, 2)).toBe(3);
  });

  test.each([
    ["call", async],
    ["callSync", sync],
  ] as const)("a host function cannot %s the sandbox that waits for it", async (_name, inner) => {
    for (const outer of [async, sync]) {
      const codes: unknown[] = [];
      const sandbox: Sandbox = await create({
        fetch_number: (id: number) => {
          const answer = failureOf(() => inner(sandbox, "add")(1, 2)).then(({ code }) => {
            codes.push(code);
          });
          return outer === sync ? id : answer.then(() => id);
        },
      });
      expect(await outer(sandbox, "host_error_unhandled")(5)).toBe(5);
      await turns(1);
      expect(codes).toEqual(["ERR_AMPOULE_REENTRANT"]);
      // Nothing was queued, and nothing is left over.
      expect(await async(sandbox, "add")(1, 2)).toBe(3);
      expect(sandbox.statistics.calls).toBe(2);
    }
  });

  test("a synchronous call is exactly one exit of the virtual CPU", async () => {
    const sandbox = await create();
    const [add, echo] = [sync(sandbox, "add"), sync(sandbox, "echo_string")];
    // The first calls touch pages that the guest has not used before.
    add(0, 0);
    echo("x".repeat(1000));
    const before = sandbox.statistics;
    for (let round = 0; round < 500; round++) {
      expect(add(round, 1)).toBe(round + 1);
      echo("x".repeat(round));
    }
    const after = sandbox.statistics;
    expect(after.calls - before.calls).toBe(1000);
    expect(after.exits - before.exits).toBe(1000);
    expect(after.systemCalls).toEqual(before.systemCalls);
  });

  test("each host function costs one more exit", async () => {
    const sandbox = await create();
    const sum = sync(sandbox, "sum_via_host");
    sum(1);
    const before = sandbox.statistics;
    sum(25);
    const after = sandbox.statistics;
    expect(after.hostCalls - before.hostCalls).toBe(25);
    expect(after.exits - before.exits).toBe(26);
  });
});
