import { readFile } from "node:fs/promises";
import { expect, test } from "@jest/globals";
import { AmpouleError, Sandbox } from "../ts/index.js";
import {
  async,
  cProgram,
  failureOf,
  HOST_FUNCTIONS,
  ownExits,
  rustGuest,
  sync,
  testing,
} from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";

describeWithKvm("a sandbox", () => {
  test("calls functions, synchronously and asynchronously", async () => {
    const sandbox = await testing();
    expect(sync(sandbox, "add")(2, 3)).toBe(5);
    await expect(async(sandbox, "add")(2, 3)).resolves.toBe(5);
    expect(sandbox.state).toBe("ready");
    expect(sandbox.failure).toBeNull();
    expect(sandbox.name).toBe("testing");
  });

  test("a synchronous call causes exactly one VM exit", async () => {
    const sandbox = await testing();
    const add = sync(sandbox, "add");
    add(1, 1);
    const before = sandbox.statistics;
    for (let round = 0; round < 100; round++) add(round, 1);
    const after = sandbox.statistics;
    expect(after.exits - before.exits).toBe(100);
    expect(after.calls - before.calls).toBe(100);
  });

  test("an asynchronous call causes exactly one VM exit", async () => {
    const sandbox = await testing();
    const before = ownExits(sandbox.statistics);
    for (let round = 0; round < 10; round++) await async(sandbox, "add")(round, 1);
    expect(ownExits(sandbox.statistics) - before).toBe(10);
  });

  test("describes its interface", async () => {
    const sandbox = await testing();
    const add = sandbox.interface.exports.find(({ name }) => name === "add");
    expect(add?.documentation).toBe("Adds two numbers.");
    expect(add?.parameters.map(({ name }) => name)).toEqual(["left", "right"]);
    expect(sandbox.interface.imports.map(({ name }) => name)).toContain("fetch_number");
    expect(sandbox.interface.abiVersion).toBe("1.1");
    expect(Object.isFrozen(sandbox.interface.exports)).toBe(true);
  });

  test("call and callSync are frozen tables that explain unknown names", async () => {
    const sandbox = await testing();
    expect(Object.keys(sandbox.call)).toEqual(Object.keys(sandbox.callSync));
    expect(Object.isFrozen(sandbox.call)).toBe(true);
    expect("add" in sandbox.call).toBe(true);
    expect("ad" in sandbox.call).toBe(false);
    const failure = await failureOf(() => sandbox.call["ad"]?.());
    expect(failure["code"]).toBe("ERR_AMPOULE_UNKNOWN_FUNCTION");
    expect(failure["message"]).toContain('no function "ad"; it exports add, ');
    // Promises, JSON and test tools look for these on anything.
    expect(sandbox.call["then"]).toBeUndefined();
    expect(sandbox.call["toJSON"]).toBeUndefined();
  });

  test("keeps state between calls; another one has its own", async () => {
    const [one, two] = [await testing(), await testing()];
    expect([sync(one, "counter")(), sync(one, "counter")()]).toEqual([1n, 2n]);
    expect(sync(two, "counter")()).toBe(1n);
  });

  test("runs asynchronous calls one after the other, in order", async () => {
    const sandbox = await testing();
    const counter = async(sandbox, "counter");
    const results = await Promise.all(Array.from({ length: 20 }, () => counter()));
    expect(results).toEqual(Array.from({ length: 20 }, (_, index) => BigInt(index + 1)));
  });

  test("takes the arguments of a queued call when it is made", async () => {
    const sandbox = await testing();
    const bytes = new Uint8Array([1, 2, 3]);
    const first = async(sandbox, "spin")(5);
    const second = async(sandbox, "echo_bytes")(bytes);
    bytes.fill(9);
    await first;
    expect([...((await second) as Uint8Array)]).toEqual([1, 2, 3]);
  });

  test("refuses callSync while a call runs, and goes on", async () => {
    const sandbox = await testing();
    const running = async(sandbox, "spin")(20);
    expect(sandbox.state).toBe("running");
    const failure = await failureOf(() => sync(sandbox, "add")(1, 1));
    expect(failure["code"]).toBe("ERR_AMPOULE_BUSY");
    await running;
    expect(sync(sandbox, "add")(1, 1)).toBe(2);
  });

  test("gets arguments, environment, files and input, and its init function has run", async () => {
    const sandbox = await testing({
      args: ["one", "two words"],
      env: { COLOUR: "blue" },
      files: { "/etc/app.json": "{}", "/self": { path: rustGuest("testing") } },
      stdin: "typed in",
      name: "my guest",
    });
    expect(sync(sandbox, "args")()).toEqual(["my guest", "one", "two words"]);
    expect(sync(sandbox, "env")("COLOUR")).toBe("blue");
    expect(sync(sandbox, "env")("PATH")).toBeNull();
    expect(Buffer.from(sync(sandbox, "read_file")("/etc/app.json") as Uint8Array).toString()).toBe(
      "{}",
    );
    const self = sync(sandbox, "text_length");
    expect(self("abc")).toBe(3n);
    expect(Buffer.from(sync(sandbox, "read_stdin")() as Uint8Array).toString()).toBe("typed in");
    expect(sync(sandbox, "was_prepared")()).toBe(true);
    expect((await failureOf(() => sync(sandbox, "read_file")("/etc/shadow")))["message"]).toContain(
      "No such file",
    );
  });

  test("takes its guest as bytes, path or URL", async () => {
    const path = rustGuest("testing");
    for (const guest of [await readFile(path), path, new URL(`file://${path}`)]) {
      const sandbox = await testing({ guest });
      expect(sync(sandbox, "add")(1, 1)).toBe(2);
    }
  });

  test("hands output to functions and streams", async () => {
    const [out, err]: [string[], string[]] = [[], []];
    const sandbox = await testing({
      stdout: (chunk: Uint8Array) => void out.push(Buffer.from(chunk).toString()),
      stderr: (chunk: Uint8Array) => void err.push(Buffer.from(chunk).toString()),
    });
    sync(sandbox, "print_line")("to stdout");
    await async(sandbox, "print_error_line")("to stderr");
    expect(out.join("")).toBe("to stdout\n");
    expect(err.join("")).toBe("to stderr\n");
  });

  test("holds the guest back while an output handler's promise is pending", async () => {
    let together = 0;
    let pending = 0;
    const sandbox = await testing({
      stdout: async (chunk: Uint8Array) => {
        pending++;
        expect(pending).toBe(1);
        await new Promise(setImmediate);
        together += chunk.length;
        pending--;
      },
    });
    await async(sandbox, "print_bytes")(new Uint8Array(3 * 1024 ** 2));
    expect(together).toBeGreaterThan(0);
  });

  test("reports an output handler that throws", async () => {
    const sandbox = await testing({
      stdout: () => {
        throw new Error("the disk is full");
      },
    });
    const failure = await failureOf(() => async(sandbox, "print_line")("x"));
    expect(failure["code"]).toBe("ERR_AMPOULE_HOST_FUNCTION");
    expect((failure["cause"] as Error).message).toBe("the disk is full");
  });

  test("close is idempotent and final", async () => {
    const sandbox = await testing();
    const { calls } = sandbox.statistics;
    await Promise.all([sandbox.close(), sandbox.close()]);
    await sandbox.close();
    expect(sandbox.state).toBe("closed");
    expect(sandbox.statistics.calls).toBe(calls);
    for (const call of [sync, async]) {
      const failure = await failureOf(() => call(sandbox, "add")(1, 1));
      expect(failure["code"]).toBe("ERR_AMPOULE_CLOSED");
    }
    sandbox.kill();
    expect(sandbox.state).toBe("closed");
  });

  test("close stops the call that runs and rejects those that wait", async () => {
    const sandbox = await testing();
    const calls = [async(sandbox, "spin_forever")(), async(sandbox, "add")(1, 1)];
    const failures = calls.map((call) => failureOf(() => call));
    await sandbox.close();
    for (const failure of await Promise.all(failures)) {
      expect(failure["code"]).toBe("ERR_AMPOULE_CLOSED");
    }
  });

  test("is disposed of by using", async () => {
    let kept: Sandbox | undefined;
    {
      await using sandbox = await testing();
      kept = sandbox;
    }
    expect(kept.state).toBe("closed");
    {
      using sandbox = await testing();
      kept = sandbox;
    }
    expect(kept.state).toBe("closed");
  });

  test("lists all missing host functions", async () => {
    const { fetch_number: _, log_line: __, ...some } = HOST_FUNCTIONS;
    const failure = await failureOf(() =>
      Sandbox.create({ guest: rustGuest("testing"), hostFunctions: some }),
    );
    expect(failure["code"]).toBe("ERR_AMPOULE_MISSING_HOST_FUNCTION");
    expect(failure["details"]).toEqual({ missing: ["fetch_number", "log_line"] });
  });

  test("says that a plain program is none to call", async () => {
    const failure = await failureOf(() =>
      Sandbox.create({ guest: cProgram("hello", "glibc"), stdout: "ignore" }),
    );
    expect(failure["code"]).toBe("ERR_AMPOULE_GUEST_EXITED");
    expect(failure).toBeInstanceOf(AmpouleError);
  });

  test("an init function that fails, and one that panics, end the creation", async () => {
    for (const act of ["fail", "panic"]) {
      const failure = await failureOf(() => testing({ env: { TESTING_INIT: act } }));
      expect(failure["code"]).toBe("ERR_AMPOULE_GUEST_ABORT");
      expect(failure["message"]).toContain(`told to ${act} by TESTING_INIT`);
    }
  });

  test("calls options by name and with their problem when they are wrong", async () => {
    const wrong: [Record<string, unknown>, string][] = [
      [{ guest: 1 }, "option guest must be a path, a file URL or a Uint8Array, got number (1)"],
      [{ guest: "/nowhere" }, "option guest cannot be read: ENOENT"],
      [
        { memory: "16 MB" },
        'option memory must be whole bytes with a unit B, KiB, MiB or GiB, such as "16MiB", got "16 MB"',
      ],
      [{ memory: 1 }, "option memory must be between 1MiB and 64GiB, got 1"],
      [{ limits: { message: "1GiB" } }, "option limits.message must be between"],
      [{ limits: { timeoutMs: 0 } }, "option limits.timeoutMs must be a positive number"],
      [{ limits: { timeout: 1 } }, "option limits.timeout is not known"],
      [{ stdin: 5 }, "option stdin must be null, a string"],
      [{ stdout: "loud" }, 'option stdout must be "print", "ignore", "inherit"'],
      [
        { hostFunctions: { fetch_number: 1 } },
        "option hostFunctions.fetch_number must be a function",
      ],
      [{ args: ["a", 1] }, "option args[1] must be a string"],
      [{ env: { A: "x\0" } }, 'option env["A"] must not contain a NUL character'],
      [{ files: { "etc/x": new Uint8Array() } }, 'option files["etc/x"] must be an absolute path'],
      [{ gest: 1 }, "is not known; known are guest"],
      [{ signal: {} }, "option signal must be an AbortSignal"],
    ];
    for (const [options, message] of wrong) {
      const failure = await failureOf(() => testing(options));
      expect(failure["code"]).toBe("ERR_AMPOULE_INVALID_ARGUMENT");
      expect(failure["message"]).toContain(message);
    }
  });

  test("refuses executables that cannot be guests, with the remedy", async () => {
    const elf = await readFile(rustGuest("testing"));
    const wrong: [Uint8Array, string][] = [
      [new Uint8Array(), "not an ELF"],
      [Buffer.from("#!/bin/sh\n"), "not an ELF"],
      [elf.subarray(0, 5000), "truncated"],
      [await readFile(process.execPath), "dynamically linked"],
    ];
    for (const [guest, message] of wrong) {
      const failure = await failureOf(() => testing({ guest }));
      expect(failure["code"]).toBe("ERR_AMPOULE_INVALID_GUEST");
      expect(failure["message"]).toContain(message);
    }
  });
});
