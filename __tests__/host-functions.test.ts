import { AsyncLocalStorage } from "node:async_hooks";
import { expect, test } from "@jest/globals";
import type { Sandbox } from "../ts/index.js";
import { async, failureOf, sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";

function failing(id: number): number {
  if (id < 0) throw new RangeError(`there is no number ${id}`);
  return id * 2;
}

async function rejecting(id: number): Promise<number> {
  await new Promise(setImmediate);
  return failing(id);
}

describeWithKvm("host functions", () => {
  test("answer the guest, synchronously and asynchronously", async () => {
    const sandbox = await testing({ hostFunctions: { fetch_number: failing } });
    expect(sync(sandbox, "sum_via_host")(10)).toBe(90n);
    expect(sync(sandbox, "greet_user")(1)).toBe("Hello Ada");
    expect(sync(sandbox, "greet_user")(2)).toBe("Hello stranger");
    const waiting = await testing({ hostFunctions: { fetch_number: rejecting } });
    await expect(async(waiting, "sum_via_host")(10)).resolves.toBe(90n);
    expect(waiting.statistics.hostCalls).toBe(10);
  });

  test("get their arguments with their types, and no this", async () => {
    const seen: unknown[] = [];
    const sandbox = await testing({
      hostFunctions: {
        describe_values: function (this: unknown, ...values: unknown[]) {
          seen.push(this, ...values);
          return "seen";
        },
      },
    });
    expect(sync(sandbox, "describe_via_host")()).toBe("seen");
    const values = [-(2n ** 63n), 0.5, "empty", null, new Uint8Array([1, 2, 3])];
    expect(seen).toEqual([undefined, ...values]);
  });

  test("may return anything where nothing is expected", async () => {
    const lines: string[] = [];
    const sandbox = await testing({ hostFunctions: { log_line: (l: string) => lines.push(l) } });
    expect(sync(sandbox, "log_via_host")("a line")).toBeUndefined();
    expect(lines).toEqual(["a line"]);
  });

  const BOTH = [
    ["throws", sync, failing],
    ["throws in an asynchronous call", async, failing],
    ["rejects", async, rejecting],
  ] as const;

  test.each(BOTH)("one that %s is an error that the guest can handle", async (_, call, fetch) => {
    const sandbox = await testing({ hostFunctions: { fetch_number: fetch } });
    const handled = await call(sandbox, "host_error_handled")(-3);
    expect(handled).toBe("HostError: there is no number -3");
    expect(await call(sandbox, "host_error_ignored")(-1, 4)).toBe(8);
  });

  test.each(BOTH)("one that %s is the cause if the guest passes it on", async (_, call, fetch) => {
    const sandbox = await testing({ hostFunctions: { fetch_number: fetch } });
    const failure = await failureOf(() => call(sandbox, "host_error_unhandled")(-3));
    expect(failure["code"]).toBe("ERR_AMPOULE_HOST_FUNCTION");
    expect(failure["cause"]).toBeInstanceOf(RangeError);
    const wrapped = await failureOf(() => call(sandbox, "host_error_wrapped")(-4));
    expect(wrapped["code"]).toBe("ERR_AMPOULE_GUEST_ERROR");
    expect(wrapped["kind"]).toBe("Wrapped");
    expect((wrapped["cause"] as Error).message).toBe("there is no number -4");
    expect(sandbox.state).toBe("ready");
  });

  test("a failure that the guest panics over is the cause of the abort", async () => {
    const sandbox = await testing({ hostFunctions: { fetch_number: failing } });
    const failure = await failureOf(() => sync(sandbox, "host_error_unwrapped")(-1));
    expect(failure["code"]).toBe("ERR_AMPOULE_GUEST_ABORT");
    expect(failure["cause"]).toBeInstanceOf(RangeError);
    expect(sandbox.state).toBe("poisoned");
  });

  test("a failure that the guest has handled is no cause of a later error", async () => {
    const sandbox = await testing({ hostFunctions: { fetch_number: failing } });
    sync(sandbox, "host_error_handled")(-1);
    const failure = await failureOf(() => sync(sandbox, "parse")("x"));
    expect(failure["cause"]).toBeUndefined();
  });

  test("the guest sees no paths and no stacks of the host", async () => {
    const sandbox = await testing({
      hostFunctions: {
        fetch_number: () => {
          const error = Object.assign(new Error("ENOENT: no such file, open '/home/me/secret'"), {
            code: "ENOENT",
            errno: -2,
            syscall: "open",
          });
          throw error;
        },
      },
    });
    const seen = sync(sandbox, "host_error_handled")(1);
    expect(seen).toBe("HostError: ENOENT: no such file or directory");
  });

  test("anything can be thrown", async () => {
    for (const thrown of [undefined, null, "text", 42, {}, Object.create(null)]) {
      const sandbox = await testing({
        hostFunctions: {
          fetch_number: () => {
            throw thrown;
          },
        },
      });
      const failure = await failureOf(() => sync(sandbox, "host_error_unhandled")(1));
      expect(failure["code"]).toBe("ERR_AMPOULE_HOST_FUNCTION");
      expect(failure["cause"]).toBe(thrown);
    }
  });

  test("a result of the wrong type is the host function's failure", async () => {
    const sandbox = await testing({ hostFunctions: { fetch_number: () => "12" } });
    const failure = await failureOf(() => sync(sandbox, "host_error_unhandled")(1));
    expect(failure["code"]).toBe("ERR_AMPOULE_HOST_FUNCTION");
    expect((failure["cause"] as Error).message).toBe(
      'host function fetch_number: the result must be an integer (int32, -2147483648 to 2147483647), got string ("12")',
    );
  });

  test("an asynchronous one is a clear error of callSync", async () => {
    const sandbox = await testing({ hostFunctions: { fetch_number: rejecting } });
    const failure = await failureOf(() => sync(sandbox, "host_error_unhandled")(-1));
    expect(failure["code"]).toBe("ERR_AMPOULE_ASYNC_HOST_FUNCTION");
    expect(failure["message"]).toContain("fetch_number returned a promise during callSync");
    expect(sandbox.state).toBe("ready");
    await expect(async(sandbox, "host_error_unhandled")(4)).resolves.toBe(8);
  });

  test("run in the caller's async context", async () => {
    const user = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    const sandbox = await testing({
      hostFunctions: {
        fetch_number: async (id: number) => {
          seen.push(user.getStore());
          await new Promise(setImmediate);
          seen.push(user.getStore());
          return id;
        },
      },
    });
    const call = (name: string): Promise<unknown> =>
      user.run(name, () => async(sandbox, "sum_via_host")(1));
    await Promise.all([call("Ada"), call("Grace")]);
    expect(seen).toEqual(["Ada", "Ada", "Grace", "Grace"]);
  });

  test("that call their own sandbox are refused, by whatever way", async () => {
    const failures: unknown[] = [];
    let self: Sandbox | undefined;
    const attempt = async (): Promise<number> => {
      const again = self as Sandbox;
      failures.push((await failureOf(() => sync(again, "add")(1, 1)))["code"]);
      failures.push((await failureOf(() => async(again, "add")(1, 1)))["code"]);
      return 1;
    };
    self = await testing({ hostFunctions: { fetch_number: attempt } });
    await expect(async(self, "sum_via_host")(1)).resolves.toBe(1n);
    expect(failures).toEqual(["ERR_AMPOULE_REENTRANT", "ERR_AMPOULE_REENTRANT"]);
    await expect(async(self, "add")(1, 1)).resolves.toBe(2);
  });

  test("of one sandbox may call another, back to the first they may not", async () => {
    let first: Sandbox | undefined;
    const second = await testing({
      hostFunctions: { fetch_number: () => async(first as Sandbox, "add")(1, 1) },
    });
    first = await testing({
      hostFunctions: {
        fetch_number: async (id: number) => {
          expect(await async(second, "add")(id, 1)).toBe(id + 1);
          expect(sync(second, "add")(id, 2)).toBe(id + 2);
          const failure = await failureOf(() => async(second, "host_error_unhandled")(1));
          expect((failure["cause"] as { code: string }).code).toBe("ERR_AMPOULE_REENTRANT");
          return id;
        },
      },
    });
    await expect(async(first, "host_error_unhandled")(7)).resolves.toBe(7);
  });

  test("may leave work behind that calls the sandbox later", async () => {
    let self: Sandbox | undefined;
    let later: Promise<unknown> | undefined;
    self = await testing({
      hostFunctions: {
        fetch_number: (id: number) => {
          later = new Promise(setImmediate).then(() => async(self as Sandbox, "add")(id, 1));
          return id;
        },
      },
    });
    expect(sync(self, "sum_via_host")(1)).toBe(0n);
    await expect(later).resolves.toBe(1);
  });

  test("whose result does not fit fail without harm", async () => {
    const sandbox = await testing({
      limits: { message: "64KiB" },
      hostFunctions: { transform: () => new Uint8Array(70_000) },
    });
    const failure = await failureOf(() => sync(sandbox, "transform_via_host")(new Uint8Array(1)));
    expect(failure["code"]).toBe("ERR_AMPOULE_HOST_FUNCTION");
    expect((failure["cause"] as { code: string }).code).toBe("ERR_AMPOULE_MESSAGE_TOO_LARGE");
    expect(sync(sandbox, "add")(1, 1)).toBe(2);
  });

  test("64 calls over 64 sandboxes wait for promises at the same time", async () => {
    let waiting = 0;
    let release: (() => void) | undefined;
    const everybody = new Promise<void>((resolve) => {
      release = resolve;
    });
    const sandboxes = await Promise.all(
      Array.from({ length: 64 }, () =>
        testing({
          memory: "32MiB",
          hostFunctions: {
            fetch_number: async (id: number) => {
              if (++waiting === 64) release?.();
              await everybody;
              return id;
            },
          },
        }),
      ),
    );
    const results = sandboxes.map((sandbox, index) =>
      async(sandbox, "host_error_unhandled")(index),
    );
    await expect(Promise.all(results)).resolves.toEqual(sandboxes.map((_, index) => index));
  });
});
