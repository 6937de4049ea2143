import { expect, test } from "@jest/globals";
import { LimitError } from "../ts/index.js";
import { async, failureOf, rustGuest, sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { collectSpans, only } from "./support/telemetry.js";

describeWithKvm("limits", () => {
  const BOTH = [
    ["callSync", sync],
    ["call", async],
  ] as const;

  test.each(BOTH)("timeoutMs stops %s", async (_, call) => {
    const sandbox = await testing();
    const failure = await failureOf(() => call(sandbox, "spin_forever")({ timeoutMs: 30 }));
    expect(failure).toBeInstanceOf(LimitError);
    expect(failure).toMatchObject({ code: "ERR_AMPOULE_TIMEOUT", option: "timeoutMs", limit: 30 });
    expect(sandbox.state).toBe("poisoned");
    expect(sandbox.failure).toBe(failure);
    const again = await failureOf(() => call(sandbox, "add")(1, 1));
    expect(again).toMatchObject({ code: "ERR_AMPOULE_POISONED", cause: failure });
  });

  test.each(BOTH)("cpuTimeMs stops %s", async (_, call) => {
    const sandbox = await testing();
    const before = sandbox.statistics.interruptions;
    const failure = await failureOf(() => call(sandbox, "spin_forever")({ cpuTimeMs: 30 }));
    expect(sandbox.statistics.interruptions).toBeGreaterThan(before);
    expect(failure).toMatchObject({ code: "ERR_AMPOULE_CPU_TIME", option: "cpuTimeMs", limit: 30 });
    expect(sandbox.state).toBe("poisoned");
  });

  test("timeoutMs counts while a host function's promise is pending, cpuTimeMs does not", async () => {
    const sandbox = await testing({
      hostFunctions: { fetch_number: () => new Promise(() => {}) },
    });
    const options = { timeoutMs: 50, cpuTimeMs: 20 };
    const failure = await failureOf(() => async(sandbox, "host_error_unhandled")(1, options));
    expect(failure["code"]).toBe("ERR_AMPOULE_TIMEOUT");
  });

  test("timeoutMs stops a guest that sleeps", async () => {
    for (const [, call] of BOTH) {
      const sandbox = await testing();
      const failure = await failureOf(() => call(sandbox, "sleep")(60_000, { timeoutMs: 30 }));
      expect(failure["code"]).toBe("ERR_AMPOULE_TIMEOUT");
    }
  });

  test.each(BOTH)("limits.trace bounds what %s records, and the call goes on", async (_, call) => {
    const spans = collectSpans();
    const sandbox = await testing({ limits: { trace: "8KiB" } });
    await call(sandbox, "many_events")(2000);
    const { events } = only(spans, "many").span;
    expect(events.length).toBeGreaterThan(10);
    expect(events.length).toBeLessThan(200);
    expect(sandbox.statistics.traceDropped).toBe(2000 - events.length);
    const unbounded = await testing({ limits: { trace: Number.POSITIVE_INFINITY } });
    await call(unbounded, "many_events")(2000);
    expect(unbounded.statistics.traceDropped).toBe(0);
  });

  test("a guest can sleep", async () => {
    const sandbox = await testing();
    expect(sync(sandbox, "sleep")(5)).toBeGreaterThanOrEqual(5);
    expect(await async(sandbox, "sleep")(5)).toBeGreaterThanOrEqual(5);
  });

  test("the limits of the sandbox hold for every call, and for the start", async () => {
    const sandbox = await testing({ limits: { timeoutMs: 3000, cpuTimeMs: 50 } });
    expect(sync(sandbox, "add")(1, 1)).toBe(2);
    const failure = await failureOf(() => sync(sandbox, "spin_forever")());
    expect(failure["code"]).toBe("ERR_AMPOULE_CPU_TIME");
    const start = await failureOf(() =>
      testing({
        guest: rustGuest("hostile"),
        hostFunctions: { touch: () => {} },
        env: { HOSTILE_INIT: "loop" },
        limits: { timeoutMs: 100 },
      }),
    );
    expect(start["code"]).toBe("ERR_AMPOULE_TIMEOUT");
  });

  test("memory is limited, and a guest that asks politely is told", async () => {
    const sandbox = await testing({ memory: "32MiB" });
    expect(await failureOf(() => sync(sandbox, "allocate")(2n ** 40n))).toMatchObject({
      code: "ERR_AMPOULE_GUEST_ERROR",
      kind: "OutOfMemory",
    });
    expect(sync(sandbox, "allocate")(8n * 1024n ** 2n)).toBe(2048n);
    const small = await failureOf(() => testing({ memory: "1MiB" }));
    expect(small).toMatchObject({ code: "ERR_AMPOULE_MEMORY_LIMIT", option: "memory" });
  });

  test("stack is limited", async () => {
    const deep = await testing({ limits: { stack: "16MiB" } });
    expect(sync(deep, "recurse")(9000)).toBe(9000n);
    const shallow = await testing({ limits: { stack: "256KiB" } });
    const failure = await failureOf(() => sync(shallow, "recurse")(9000));
    expect(failure).toMatchObject({ code: "ERR_AMPOULE_GUEST_FAULT" });
    expect(failure["message"]).toContain("stack overflow");
  });

  test("messages are limited in each direction, and nothing is lost", async () => {
    const sandbox = await testing({ limits: { message: "64KiB" } });
    const big = new Uint8Array(70_000);
    for (const [, call] of BOTH) {
      const failure = await failureOf(() => call(sandbox, "echo_bytes")(big));
      expect(failure).toMatchObject({
        code: "ERR_AMPOULE_MESSAGE_TOO_LARGE",
        option: "limits.message",
        limit: 65_536,
      });
      expect(sandbox.state).toBe("ready");
      const answer = await failureOf(() => call(sandbox, "zeros")(80_000));
      expect(answer).toMatchObject({
        code: "ERR_AMPOULE_MESSAGE_TOO_LARGE",
        option: "limits.message",
        details: { bytes: 80_005 },
      });
      expect(sandbox.state).toBe("ready");
      expect(await call(sandbox, "zeros")(60_000)).toHaveLength(60_000);
    }
  });

  test("output is limited", async () => {
    const sandbox = await testing({ limits: { output: 1000 } });
    sync(sandbox, "print_bytes")(new Uint8Array(900));
    sync(sandbox, "print_bytes")(new Uint8Array(900));
    const failure = await failureOf(() => sync(sandbox, "print_bytes")(new Uint8Array(1001)));
    expect(failure).toMatchObject({ code: "ERR_AMPOULE_OUTPUT_LIMIT", limit: 1000 });
  });

  test("host calls are limited for each call", async () => {
    const sandbox = await testing({ limits: { hostCalls: 10 } });
    expect(sync(sandbox, "sum_via_host")(10)).toBe(90n);
    expect(sync(sandbox, "sum_via_host")(10)).toBe(90n);
    const failure = await failureOf(() => sync(sandbox, "sum_via_host")(11));
    expect(failure).toMatchObject({ code: "ERR_AMPOULE_HOST_CALL_LIMIT", limit: 10 });
  });
});

describeWithKvm("cancellation", () => {
  test("a signal that has fired stops nothing but its own call", async () => {
    const sandbox = await testing();
    const signal = AbortSignal.abort("changed my mind");
    for (const call of [sync, async]) {
      const failure = await failureOf(() => call(sandbox, "add")(1, 1, { signal }));
      expect(failure).toMatchObject({ code: "ERR_AMPOULE_ABORTED", cause: "changed my mind" });
    }
    expect(sandbox.state).toBe("ready");
  });

  test("a signal stops the running call and poisons", async () => {
    const sandbox = await testing();
    const controller = new AbortController();
    const call = async(sandbox, "spin_forever")({ signal: controller.signal });
    setImmediate(() => controller.abort(new Error("enough")));
    const failure = await failureOf(() => call);
    expect(failure["code"]).toBe("ERR_AMPOULE_ABORTED");
    expect((failure["cause"] as Error).message).toBe("enough");
    expect(sandbox.state).toBe("poisoned");
  });

  test("a queued call is withdrawn without harm", async () => {
    const sandbox = await testing();
    const controller = new AbortController();
    const first = async(sandbox, "spin")(30);
    const second = async(sandbox, "add")(1, 1, { signal: controller.signal });
    const third = async(sandbox, "add")(2, 2);
    controller.abort();
    expect((await failureOf(() => second))["code"]).toBe("ERR_AMPOULE_ABORTED");
    await first;
    await expect(third).resolves.toBe(4);
    expect(sandbox.state).toBe("ready");
  });

  test("a signal stops a call that waits for a host function, and a creation", async () => {
    const controller = new AbortController();
    const sandbox = await testing({
      hostFunctions: {
        fetch_number: () => {
          controller.abort();
          return new Promise(() => {});
        },
      },
    });
    const { signal } = controller;
    const failure = await failureOf(() => async(sandbox, "host_error_unhandled")(1, { signal }));
    expect(failure["code"]).toBe("ERR_AMPOULE_ABORTED");
    const late = new AbortController();
    const creation = testing({
      guest: rustGuest("hostile"),
      hostFunctions: { touch: () => {} },
      env: { HOSTILE_INIT: "loop" },
      signal: late.signal,
    });
    setTimeout(() => late.abort(), 20);
    expect((await failureOf(() => creation))["code"]).toBe("ERR_AMPOULE_ABORTED");
  });

  test("a host function can abort the synchronous call it serves", async () => {
    const controller = new AbortController();
    const sandbox = await testing({
      hostFunctions: {
        fetch_number: () => {
          controller.abort("from within");
          return 1;
        },
      },
    });
    const { signal } = controller;
    const failure = await failureOf(() => sync(sandbox, "host_error_unhandled")(1, { signal }));
    expect(failure).toMatchObject({ code: "ERR_AMPOULE_ABORTED", cause: "from within" });
    expect(sandbox.state).toBe("poisoned");
  });

  test("kill poisons from any state, and rejects what waits", async () => {
    const idle = await testing();
    idle.kill();
    expect(idle.state).toBe("poisoned");
    expect(idle.failure?.code).toBe("ERR_AMPOULE_KILLED");
    expect((await failureOf(() => sync(idle, "add")(1, 1)))["code"]).toBe("ERR_AMPOULE_POISONED");

    const busy = await testing();
    const calls = [async(busy, "spin_forever")(), async(busy, "add")(1, 1)];
    const failures = Promise.all(calls.map((call) => failureOf(() => call)));
    busy.kill();
    const codes = (await failures).map(({ code }) => code);
    expect(codes).toEqual(["ERR_AMPOULE_KILLED", "ERR_AMPOULE_POISONED"]);
  });

  test("close from within a host function ends the call", async () => {
    for (const call of [sync, async]) {
      const sandbox = await testing({
        hostFunctions: {
          fetch_number: () => {
            void sandbox.close();
            return 1;
          },
        },
      });
      const failure = await failureOf(() => call(sandbox, "host_error_unhandled")(1));
      expect(failure["code"]).toBe("ERR_AMPOULE_CLOSED");
      await sandbox.close();
      expect(sandbox.state).toBe("closed");
    }
  });
});
