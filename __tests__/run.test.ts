import { Readable, Writable } from "node:stream";
import { expect, test } from "@jest/globals";
import { run } from "../ts/index.js";
import { BUSYBOX, cProgram, failureOf } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { testWithProgram } from "./support/native.js";

/** 2 MB in 40,000 lines. */
const TEXT = Buffer.from(
  Array.from(
    { length: 40_000 },
    (_, index) => `line ${index} of ${"words ".repeat(index % 13)}\n`,
  ).join(""),
);

describeWithKvm("run", () => {
  const whenBusybox = testWithProgram(BUSYBOX, "Debian: apt-get install busybox-static");

  whenBusybox("input can come in pieces, and output can go to a slow stream", async () => {
    const pieces: Buffer[] = [];
    for (let at = 0; at < TEXT.length; at += 10_000) pieces.push(TEXT.subarray(at, at + 10_000));
    let length = 0;
    const slow = new Writable({
      highWaterMark: 1,
      write(chunk: Buffer, _encoding, done) {
        length += chunk.length;
        setImmediate(done);
      },
    });
    const result = await run(BUSYBOX, {
      name: "cat",
      stdin: Readable.from(pieces),
      stdout: slow,
    });
    expect(result.exitCode).toBe(0);
    expect(length).toBe(TEXT.length);
    expect(result.stdout).toHaveLength(0);
  });

  test("a signal that meets a handler ends the program with an error that names it", async () => {
    const program = cProgram("system-calls", "glibc");
    const failure = await failureOf(() => run(program, { args: ["ends", "handled-raise"] }));
    expect(failure).toMatchObject({
      code: "ERR_AMPOULE_GUEST_SIGNAL",
      details: { signal: "SIGUSR1" },
      message: expect.stringMatching(/SIGUSR1.*handler/),
    });
  });

  test("a program's own alarm ends it", async () => {
    const program = cProgram("system-calls", "glibc");
    for (const way of ["alarm-asleep", "alarm-at-work"]) {
      expect(await run(program, { args: ["ends", way] })).toMatchObject({ signal: "SIGALRM" });
    }
  });

  whenBusybox("a source of input that fails is the cause", async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.from("some");
      throw new Error("the network is down");
    }
    const failure = await failureOf(() => run(BUSYBOX, { name: "cat", stdin: broken() }));
    expect(failure["code"]).toBe("ERR_AMPOULE_HOST_FUNCTION");
    expect((failure["cause"] as Error).message).toBe("the network is down");
  });

  whenBusybox("input that is not read to its end is let go", async () => {
    let ended = false;
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield Buffer.from("y\n");
      } finally {
        ended = true;
      }
    }
    const args = ["head", "-n", "2"];
    const { stdout } = await run(BUSYBOX, { args, stdin: endless() });
    expect(Buffer.from(stdout).toString()).toBe("y\ny\n");
    await new Promise(setImmediate);
    expect(ended).toBe(true);
  });

  whenBusybox("files are there for the program, and nothing else is", async () => {
    const files = { "/data/numbers.txt": Buffer.from("3\n1\n2\n") };
    const sorted = await run(BUSYBOX, { args: ["sort", "/data/numbers.txt"], files });
    expect(Buffer.from(sorted.stdout).toString()).toBe("1\n2\n3\n");
    const none = await run(BUSYBOX, { args: ["cat", "/etc/hostname"], files });
    expect(none.exitCode).toBe(1);
  });

  whenBusybox("a program that aborts itself, faults, or runs too long says so", async () => {
    const aborted = await run(BUSYBOX, { args: ["sh", "-c", "kill -ABRT $$"] });
    expect([aborted.exitCode, aborted.signal]).toEqual([null, "SIGABRT"]);
    const forever = { args: ["sh", "-c", "while :; do :; done"], limits: { timeoutMs: 50 } };
    expect((await failureOf(() => run(BUSYBOX, forever)))["code"]).toBe("ERR_AMPOULE_TIMEOUT");
    const loud = { args: ["yes"], limits: { output: "1MiB" } } as const;
    expect((await failureOf(() => run(BUSYBOX, loud)))["code"]).toBe("ERR_AMPOULE_OUTPUT_LIMIT");
  });

  whenBusybox("is cancelled by its signal", async () => {
    const controller = new AbortController();
    const running = run(BUSYBOX, {
      args: ["yes"],
      stdout: () => controller.abort("seen enough"),
      signal: controller.signal,
    });
    const failure = await failureOf(() => running);
    expect(failure).toMatchObject({ code: "ERR_AMPOULE_ABORTED", cause: "seen enough" });
  });

  whenBusybox("counts system calls by name", async () => {
    const { statistics } = await run(BUSYBOX, { args: ["echo", "hi"] });
    expect(statistics.systemCalls["exit_group"]).toBe(1);
    expect(statistics.exits).toBeGreaterThan(5);
    expect(statistics.outputBytes).toBe(3);
  });
});
