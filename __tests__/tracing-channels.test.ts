/** The tracing channels of `node:diagnostics_channel`. */
import { AsyncLocalStorage } from "node:async_hooks";
import { tracingChannel } from "node:diagnostics_channel";
import { afterEach, expect, test } from "@jest/globals";
import { type CreateOptions, Pool } from "../ts/index.js";
import { async, failureOf, HOST_FUNCTIONS, rustGuest, sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";

const EVENTS = ["start", "end", "asyncStart", "asyncEnd", "error"] as const;
type Message = Record<string, unknown>;

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** Subscribes to a channel until the end of the test; gives what it hears, as event and message. */
function listen(name: string): [event: string, message: Message][] {
  const heard: [string, Message][] = [];
  const channel = tracingChannel(name);
  for (const event of EVENTS) {
    const hear = (message: unknown): unknown => heard.push([event, message as Message]);
    channel[event].subscribe(hear);
    ends.push(() => channel[event].unsubscribe(hear));
  }
  return heard;
}

const names = (heard: readonly (readonly [string, Message])[]): string[] =>
  heard.map(([event]) => event);

describeWithKvm("the channel ampoule:call", () => {
  test("tells of callSync as traceSync does", async () => {
    const sandbox = await testing({ name: "one" });
    const heard = listen("ampoule:call");
    sync(sandbox, "add")(1, 2);
    expect(names(heard)).toEqual(["start", "end"]);
    const [[, message] = []] = heard;
    expect(message).toEqual({ function: "add", sandbox: "one", arguments: [1, 2], result: 3 });
    expect(heard[1]?.[1]).toBe(message);
    heard.length = 0;
    const failure = await failureOf(() => sync(sandbox, "allocate")(2n ** 60n));
    expect(names(heard)).toEqual(["start", "error", "end"]);
    expect(heard[0]?.[1]["error"]).toBe(failure);
  });

  test("tells of call as tracePromise does, also of what cannot begin", async () => {
    const sandbox = await testing();
    const heard = listen("ampoule:call");
    const call = async(sandbox, "add")(1, 2);
    expect(names(heard)).toEqual(["start", "end"]);
    await call;
    expect(names(heard)).toEqual(["start", "end", "asyncStart", "asyncEnd"]);
    expect(heard[3]?.[1]).toMatchObject({ function: "add", result: 3 });
    heard.length = 0;
    const failure = await failureOf(() => async(sandbox, "add")(1));
    expect(failure["code"]).toBe("ERR_AMPOULE_ARGUMENT");
    expect(names(heard)).toEqual(["start", "end", "error", "asyncStart", "asyncEnd"]);
    expect(heard[0]?.[1]["error"]).toBe(failure);
  });

  test("binds stores for the call and the host functions in it", async () => {
    const store = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    const sandbox = await testing({
      hostFunctions: {
        fetch_number: (id: number) => {
          seen.push(store.getStore());
          return id;
        },
      },
    });
    const { start } = tracingChannel<unknown, Message>("ampoule:call");
    start.bindStore(store, (message) => String(message["function"]));
    ends.push(() => start.unbindStore(store));
    await async(sandbox, "host_in_span")(1);
    sync(sandbox, "host_in_span")(1);
    expect(seen).toEqual(["host_in_span", "host_in_span"]);
  });
});

describeWithKvm("the channel ampoule:host-function", () => {
  test("tells of plain functions as traceSync does, and of promises as tracePromise", async () => {
    let answer: unknown = 7;
    const sandbox = await testing({
      name: "one",
      hostFunctions: {
        fetch_number: () => {
          if (answer instanceof Error) throw answer;
          return answer;
        },
      },
    });
    const heard = listen("ampoule:host-function");
    const calls = async (): Promise<string[]> => {
      heard.length = 0;
      await async(sandbox, "host_in_span")(1).catch(() => {});
      return names(heard);
    };
    expect(await calls()).toEqual(["start", "end"]);
    const message = { function: "fetch_number", sandbox: "one", arguments: [1] };
    expect(heard[0]?.[1]).toEqual({ ...message, result: 7 });
    answer = new Error("thrown");
    expect(await calls()).toEqual(["start", "error", "end"]);
    expect(heard[0]?.[1]).toEqual({ ...message, error: answer });
    answer = Promise.resolve(8);
    expect(await calls()).toEqual(["start", "end", "asyncStart", "asyncEnd"]);
    expect(heard[0]?.[1]).toEqual({ ...message, result: 8 });
    answer = Promise.reject(new Error("rejected"));
    expect(await calls()).toEqual(["start", "end", "error", "asyncStart", "asyncEnd"]);
    expect(heard[0]?.[1]).toMatchObject({ error: new Error("rejected") });
  });
});

describeWithKvm("the channels ampoule:create and ampoule:restore", () => {
  test("tell of sandboxes that are made and restored", async () => {
    const created = listen("ampoule:create");
    const restored = listen("ampoule:restore");
    const sandbox = await testing({ name: "one" });
    expect(names(created)).toEqual(["start", "end", "asyncStart", "asyncEnd"]);
    expect(created[0]?.[1]).toEqual({ sandbox: "one", snapshot: null, result: sandbox });
    using snapshot = await sandbox.snapshot();
    await sandbox.restore();
    expect(names(restored)).toEqual(["start", "end", "asyncStart", "asyncEnd"]);
    expect(restored[0]?.[1]).toMatchObject({ sandbox: "one", snapshot: null });
    restored.length = 0;
    sandbox.restoreSync(snapshot);
    expect(names(restored)).toEqual(["start", "end"]);
    expect(restored[0]?.[1]).toMatchObject({ sandbox: "one", snapshot: snapshot.id });
    created.length = 0;
    await failureOf(() => testing({ guest: "/dev/null" }));
    expect(names(created)).toEqual(["start", "end", "error", "asyncStart", "asyncEnd"]);
    expect(created[0]?.[1]).toMatchObject({ sandbox: "null" });
  });

  test("tell of those of a pool", async () => {
    const created = listen("ampoule:create");
    const restored = listen("ampoule:restore");
    const pool = await Pool.create({
      guest: rustGuest("testing"),
      hostFunctions: HOST_FUNCTIONS,
      name: "pooled",
      size: 2,
    } as unknown as CreateOptions & { readonly restore?: never });
    const made = created.filter(
      ([event, { snapshot }]) => event === "asyncEnd" && snapshot !== null,
    );
    expect(made).toHaveLength(2);
    await (pool.call["add"] as never as (...args: unknown[]) => Promise<unknown>)(1, 2);
    await pool.drain();
    await pool.close();
    expect(names(restored)).toEqual(["start", "end", "asyncStart", "asyncEnd"]);
    expect(restored[0]?.[1]).toMatchObject({ sandbox: "pooled", snapshot: null });
  });
});
