/** Consumers that are gone, values that cannot be read, and promises that nobody waits for. */
import { getEventListeners } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { PassThrough, Writable } from "node:stream";
// tidy: sleep: a turn of the event loop, which takes no time.
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, expect, jest, test } from "@jest/globals";
import { AmpouleError, Pool, run, type Sandbox } from "../ts/index.js";
import {
  async,
  BUSYBOX,
  failureOf,
  HOST_FUNCTIONS,
  rustGuest,
  sync,
  testing,
} from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { testWithProgram } from "./support/native.js";

// Jest fails a test in whose time a rejection is not handled, or an exception not caught: wait for those.
afterEach(async () => {
  for (let left = 3; left > 0; left--) await turn();
});

/** Things that are thrown, or given, and must not be looked at carelessly. */
const UNREADABLE: Readonly<Record<string, () => unknown>> = {
  "whose message throws": () =>
    Object.defineProperty({}, "message", {
      get: () => {
        throw new Error("no message");
      },
    }),
  "whose every property throws": () =>
    new Proxy(
      {},
      {
        get: () => {
          throw new Error("no");
        },
        getPrototypeOf: () => {
          throw new Error("no");
        },
        ownKeys: () => {
          throw new Error("no");
        },
      },
    ),
  "that is a revoked proxy": () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    return proxy;
  },
  "that is an error with a getter for its code": () =>
    Object.defineProperty(new Error("readable"), "code", {
      get: () => {
        throw new Error("no code");
      },
    }),
  "that is its own cause": () => {
    const error = new Error("circular");
    error.cause = error;
    return error;
  },
  "without a prototype": () => Object.create(null),
  "that is a function": () => () => "secret source",
  "that is a symbol": () => Symbol("thrown"),
  "whose text is a megabyte of halves": () => new Error("\ud800".repeat(2 ** 20)),
  "that is a thenable which throws": () => ({
    // biome-ignore lint/suspicious/noThenProperty: that is what is tested
    get then() {
      throw new Error("no then");
    },
  }),
};

describeWithKvm("host functions", () => {
  test.each(Object.entries(UNREADABLE))(
    "that throw a value %s fail, and the sandbox goes on",
    async (_, make) => {
      const value = make();
      const thrower = (): never => {
        throw value;
      };
      for (const fetch of [thrower, () => Promise.reject(value)]) {
        const sandbox = await testing({ hostFunctions: { fetch_number: fetch } });
        for (const call of fetch === thrower ? [sync, async] : [async]) {
          const failure = await failureOf(() => call(sandbox, "host_error_unhandled")(1));
          expect(failure["code"]).toBe("ERR_AMPOULE_HOST_FUNCTION");
          expect(Object.is(failure["cause"], value)).toBe(true);
          expect(failure["message"]).not.toContain("secret source");
          expect(failure["message"]).not.toMatch(/\p{Surrogate}/u);
        }
        expect(sandbox.state).toBe("ready");
        expect(await async(sandbox, "add")(1, 2)).toBe(3);
      }
    },
  );

  test.each(Object.entries(UNREADABLE))(
    "that return a value %s fail, and the sandbox goes on",
    async (_, make) => {
      const sandbox = await testing({ hostFunctions: { fetch_number: make } });
      for (const call of [sync, async]) {
        const failure = await failureOf(() => call(sandbox, "host_error_unhandled")(1));
        expect(failure["code"]).toMatch(/^ERR_AMPOULE_(ASYNC_)?HOST_FUNCTION$/);
        expect(sandbox.state).toBe("ready");
      }
    },
  );

  test("may return thenables of other libraries, which settle as they like", async () => {
    const thenables: [unknown, unknown][] = [
      // biome-ignore lint/suspicious/noThenProperty: that is what is tested
      [{ then: (resolve: (value: number) => void) => resolve(7) }, 7],
      // biome-ignore lint/suspicious/noThenProperty: that is what is tested
      [{ then: (_: unknown, reject: (why: Error) => void) => reject(new Error("no")) }, "no"],
      [
        {
          // biome-ignore lint/suspicious/noThenProperty: that is what is tested
          then: () => {
            throw new Error("broken");
          },
        },
        "broken",
      ],
    ];
    for (const [thenable, outcome] of thenables) {
      const sandbox = await testing({ hostFunctions: { fetch_number: () => thenable } });
      const ended = async(sandbox, "host_error_unhandled")(1).catch((error) => error.cause.message);
      expect(await ended).toBe(outcome);
    }
  });
});

describeWithKvm("output", () => {
  const whenBusybox = testWithProgram(BUSYBOX, "Debian: apt-get install busybox-static");
  const yes = { args: ["yes"], limits: { output: Number.POSITIVE_INFINITY } };
  const failing = new Error("the sink is full");

  const LOST: Readonly<Record<string, () => Writable>> = {
    "was destroyed": () => new PassThrough().destroy(),
    "was destroyed with an error": () => {
      const stream = new PassThrough();
      stream.on("error", () => {});
      return stream.destroy(failing);
    },
    "was ended": () => new PassThrough().end(),
    "fails at a later write": () => {
      let writes = 0;
      const stream = new Writable({
        write: (_chunk, _encoding, done) => {
          writes++;
          setImmediate(() => done(writes > 2 ? failing : null));
        },
      });
      return stream.on("error", () => {});
    },
    "fails, and nobody listens": () =>
      new Writable({ write: (_chunk, _encoding, done) => done(failing) }),
    "fails before anything is written": () => createWriteStream("/nowhere/at/all"),
    "is destroyed while it is full": () => {
      const stream = new Writable({
        highWaterMark: 1,
        write: () => void setImmediate(() => stream.destroy()),
      });
      return stream;
    },
    "throws when it is written to": () =>
      ({
        write: () => {
          throw failing;
        },
      }) as unknown as Writable,
    "has nothing that can be read but write": () =>
      new Proxy({} as Writable, {
        get: (_, name) => {
          if (name === "write") return () => false;
          throw failing;
        },
      }),
  };

  for (const [how, make] of Object.entries(LOST).slice(0, -1)) {
    whenBusybox(`stops a program whose stream ${how}`, async () => {
      const failure = await failureOf(() => run(BUSYBOX, { ...yes, stdout: make() }));
      expect(failure["code"]).toBe("ERR_AMPOULE_HOST_FUNCTION");
      expect(failure["cause"]).toHaveProperty("message", expect.any(String));
    });
  }

  whenBusybox("that a stream has lost is told, also behind the last write", async () => {
    const stream = new Writable({ write: (_chunk, _encoding, done) => done(failing) });
    const failure = await failureOf(() => run(BUSYBOX, { args: ["echo", "x"], stdout: stream }));
    expect(failure).toMatchObject({ code: "ERR_AMPOULE_HOST_FUNCTION", cause: failing });
    expect(stream.listenerCount("error")).toBe(0);
    const sandbox = await testing({
      stdout: new Writable({ write: (_chunk, _encoding, done) => done(failing) }),
    });
    await async(sandbox, "print_line")("lost");
    const later = await failureOf(() => async(sandbox, "print_line")("told"));
    expect(later).toMatchObject({ code: "ERR_AMPOULE_HOST_FUNCTION", cause: failing });
  });

  whenBusybox("goes to objects that can only be written to, without waiting", async () => {
    const stdout = LOST["has nothing that can be read but write"]?.() as Writable;
    const { exitCode } = await run(BUSYBOX, { args: ["echo", "x"], stdout });
    expect(exitCode).toBe(0);
  });

  whenBusybox("that is refused with the last chunk, or later, is an error of the run", async () => {
    const handlers = [
      async () => {
        throw failing;
      },
      () => Promise.reject(failing),
      () => {
        throw failing;
      },
      async () => {
        await turn();
        throw failing;
      },
    ];
    for (const stdout of handlers) {
      const failure = await failureOf(() => run(BUSYBOX, { args: ["echo", "x"], stdout }));
      expect(failure).toMatchObject({ code: "ERR_AMPOULE_HOST_FUNCTION", cause: failing });
    }
  });

  whenBusybox("of the last chunk can be waited for with the limits of the run", async () => {
    const never = (): Promise<never> => new Promise(() => {});
    const args = ["echo", "x"];
    const late = await failureOf(() =>
      run(BUSYBOX, { args, stdout: never, limits: { timeoutMs: 50 } }),
    );
    expect(late["code"]).toBe("ERR_AMPOULE_TIMEOUT");
    const stop = new AbortController();
    const stdout = (): Promise<never> => {
      setImmediate(() => stop.abort("enough"));
      return never();
    };
    const aborted = await failureOf(() => run(BUSYBOX, { args, stdout, signal: stop.signal }));
    expect(aborted).toMatchObject({ code: "ERR_AMPOULE_ABORTED", cause: "enough" });
  });

  whenBusybox("to one full stream is waited for by many with few listeners", async () => {
    const stream = new Writable({
      highWaterMark: 1,
      write: (_chunk, _encoding, done) => void setImmediate(done),
    });
    const runs = Array.from({ length: 16 }, () =>
      run(BUSYBOX, { args: ["seq", "20000"], stdout: stream, memory: "16MiB" }),
    );
    for (const { exitCode } of await Promise.all(runs)) expect(exitCode).toBe(0);
    expect(stream.listenerCount("drain") + stream.listenerCount("error")).toBe(0);
  });

  test("of a call that fails late is told with the next output, and warned of", async () => {
    const stdout = (): Promise<never> => Promise.reject(failing);
    const sandbox = await testing({ stdout });
    const warn = jest.spyOn(process, "emitWarning").mockImplementation(() => {});
    try {
      sync(sandbox, "print_line")("first");
      await turn();
      expect(warn.mock.calls).toEqual([
        [
          "output of a guest was lost: the output handler failed: the sink is full",
          expect.objectContaining({ code: "AMPOULE_OUTPUT_LOST" }),
        ],
      ]);
      const failure = await failureOf(() => sync(sandbox, "print_line")("second"));
      expect(failure).toMatchObject({ code: "ERR_AMPOULE_HOST_FUNCTION", cause: failing });
      await turn();
    } finally {
      warn.mockRestore();
    }
  });

  test("may use the sandbox that it is of, which refuses and goes on", async () => {
    const failures: unknown[] = [];
    let self: Sandbox | undefined;
    const stdout = async (): Promise<void> => {
      for (const call of [sync, async]) {
        failures.push((await failureOf(() => call(self as Sandbox, "add")(1, 2)))["code"]);
      }
    };
    self = await testing({ stdout });
    await async(self, "print_line")("text");
    expect(new Set(failures)).toEqual(new Set(["ERR_AMPOULE_REENTRANT"]));
    expect(await async(self, "add")(1, 2)).toBe(3);
  });

  test("may close or kill the sandbox that it is of", async () => {
    for (const end of ["close", "kill"] as const) {
      let self: Sandbox | undefined;
      self = await testing({ stdout: () => void self?.[end]() });
      const failure = await failureOf(() => async(self as Sandbox, "print_line")("text"));
      expect(failure["code"]).toMatch(/^ERR_AMPOULE_(CLOSED|KILLED)$/);
      await self.close();
    }
  });
});

describeWithKvm("input", () => {
  const broken = new Error("broken");
  const SOURCES: Readonly<Record<string, () => Iterable<Uint8Array>>> = {
    "cannot be opened": () => ({
      [Symbol.iterator]: () => {
        throw new Error("broken");
      },
    }),
    "throws in next": () => ({
      [Symbol.iterator]: () => ({
        next: () => {
          throw new Error("broken");
        },
      }),
    }),
    "gives no results": () => ({
      [Symbol.iterator]: () => ({ next: () => 5 as unknown as IteratorResult<Uint8Array> }),
    }),
    "throws when it is let go": () => ({
      [Symbol.iterator]: () => ({
        next: () => {
          throw new Error("broken");
        },
        return: () => {
          throw new Error("and again");
        },
      }),
    }),
  };

  test("that fails before it is read is told to whoever reads", async () => {
    const makers = [
      () => createReadStream("/nowhere/at/all"),
      () => new PassThrough().destroy(broken),
    ];
    for (const make of makers) {
      const sandbox = await testing({ stdin: make() });
      expect(await async(sandbox, "add")(1, 2)).toBe(3);
      const failure = await failureOf(() => async(sandbox, "read_stdin")());
      expect(failure["code"]).toBe("ERR_AMPOULE_HOST_FUNCTION");
      expect(failure["message"]).toMatch(/ENOENT|broken/);
    }
  });

  test.each(Object.entries(SOURCES))("that %s stops the guest", async (_, make) => {
    for (const call of [sync, async]) {
      const sandbox = await testing({ stdin: make() });
      const failure = await failureOf(() => call(sandbox, "read_stdin")());
      expect(failure["code"]).toMatch(/^ERR_AMPOULE_(HOST_FUNCTION|INVALID_ARGUMENT)$/);
      expect(sandbox.state).toBe("poisoned");
    }
  });
});

describeWithKvm("signals", () => {
  test("hear once of however many calls they are given to", async () => {
    const { signal } = new AbortController();
    const options = { hostFunctions: HOST_FUNCTIONS, stdout: "ignore", stderr: "ignore" } as const;
    const pool = await Pool.create({ guest: rustGuest("testing"), ...options, size: 2 });
    const calls = Array.from({ length: 50 }, (_, index) =>
      pool.call["add"]?.(index, 1, { signal }),
    );
    expect(getEventListeners(signal, "abort")).toHaveLength(1);
    expect(await Promise.all(calls)).toEqual(calls.map((_, index) => index + 1));
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
    await pool.close();
  });

  test("stop all calls that they were given to", async () => {
    const stop = new AbortController();
    const { signal } = stop;
    const sandboxes = await Promise.all([testing(), testing(), testing()]);
    const calls = sandboxes.map((each) => async(each, "spin_forever")({ signal }));
    setImmediate(() => stop.abort("stop"));
    for (const { code } of await Promise.all(calls.map((call) => failureOf(() => call)))) {
      expect(code).toBe("ERR_AMPOULE_ABORTED");
    }
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });

  test("that cannot be listened to are not valid", async () => {
    const signal = {
      aborted: false,
      addEventListener: () => {
        throw new Error("no");
      },
      removeEventListener: () => {},
    } as unknown as AbortSignal;
    const sandbox = await testing();
    for (const call of [sync, async]) {
      const failure = await failureOf(() => call(sandbox, "add")(1, 2, { signal }));
      expect(failure).toBeInstanceOf(AmpouleError);
      expect(failure["code"]).toBe("ERR_AMPOULE_INVALID_ARGUMENT");
    }
    expect(sync(sandbox, "add")(1, 2)).toBe(3);
  });
});
