import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "@jest/globals";
import {
  AmpouleError,
  ERROR_CODES,
  errorFromJson,
  GuestAbortError,
  GuestError,
  GuestExitedError,
  GuestFaultError,
  isAmpouleError,
  LimitError,
  type PlainAmpouleError,
} from "../ts/index.js";
import { async, failureOf, sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";

test("docs/errors.md is what the table of codes says", () => {
  const script = fileURLToPath(new URL("../scripts/errors-page.js", import.meta.url));
  const { status, stderr } = spawnSync(process.execPath, [script, "--check"], { encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
});

test("every code has a cause and a remedy in whole sentences", () => {
  for (const [code, { summary, cause, remedy }] of Object.entries(ERROR_CODES)) {
    expect(code).toMatch(/^ERR_AMPOULE_[A-Z_]+$/);
    expect(summary).toMatch(/^[a-z`].*[^.]$/);
    for (const text of [cause, remedy]) expect(text).toMatch(/^[A-Z`].*\.$/s);
  }
});

test("an error is an Error with a name, a code and details", () => {
  const error = new AmpouleError("ERR_AMPOULE_KILLED", "text", { cause: 1, details: { a: 1 } });
  expect(error).toBeInstanceOf(Error);
  expect(String(error)).toBe("AmpouleError: text");
  expect(error.cause).toBe(1);
  expect(Object.keys(error)).toEqual(["code", "details"]);
});

test("an error keeps its code, class and details through JSON and between threads", () => {
  const details = { kind: "Big", data: { id: 2n ** 60n, bytes: new Uint8Array([1, 2]) } };
  const errors = [
    new AmpouleError("ERR_AMPOULE_KILLED", "text", { cause: new Error("stays") }),
    new GuestError("Big", "too big", details.data, { details }),
    new GuestFaultError("fault", { details: { fault: "page fault", address: "0x10" } }),
    new GuestExitedError("ended", null, "SIGABRT"),
    new LimitError("ERR_AMPOULE_TIMEOUT", "late", { details: { limitMs: 5, option: "timeoutMs" } }),
  ];
  for (const error of errors) {
    const { name, code, message } = error;
    const plain = JSON.parse(JSON.stringify({ error })).error;
    expect(plain).toMatchObject({ name, code, message });
    for (const sent of [plain, structuredClone(error.toJSON())]) {
      const again = errorFromJson(sent);
      expect(again.constructor).toBe(error.constructor);
      expect(again).toMatchObject({ name, code, message });
      expect(again.toJSON()).toEqual(plain);
    }
  }
  expect(errorFromJson(errors[1]?.toJSON() as PlainAmpouleError)).toMatchObject({
    kind: "Big",
    data: { id: String(2n ** 60n), bytes: "AQI=" },
  });
  const circular: Record<string, unknown> = {};
  circular["self"] = circular;
  const odd = new AmpouleError("ERR_AMPOULE_KILLED", "x", { details: circular });
  expect(JSON.stringify(odd)).toContain("ERR_AMPOULE_KILLED");
});

test("a message has nothing for a terminal in it, and whole characters only", () => {
  const { message, stack } = new AmpouleError("ERR_AMPOULE_KILLED", "a\u001b[2J\ud800b\n\tc");
  expect(message).toBe("a\ufffd[2J\ufffdb\n\tc");
  expect(stack).not.toContain("\u001b");
});

test("isAmpouleError knows ours, and looks carefully", () => {
  const error: unknown = new AmpouleError("ERR_AMPOULE_KILLED", "x");
  expect(isAmpouleError(error)).toBe(true);
  expect(isAmpouleError(error, "ERR_AMPOULE_CLOSED", "ERR_AMPOULE_KILLED")).toBe(true);
  expect(isAmpouleError(error, "ERR_AMPOULE_CLOSED")).toBe(false);
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  for (const other of [proxy, null, undefined, "x", new Error("x")]) {
    expect(isAmpouleError(other)).toBe(false);
  }
});

test("a binding that cannot be loaded is told from a missing hypervisor, with its remedy", () => {
  // The code somewhere else than its package, as in a bundle.
  const folder = mkdtempSync(join(tmpdir(), "ampoule-binding-"));
  try {
    const dist = fileURLToPath(new URL("../dist", import.meta.url));
    const modules = fileURLToPath(new URL("../node_modules", import.meta.url));
    cpSync(dist, join(folder, "dist"), { recursive: true });
    symlinkSync(modules, join(folder, "node_modules"));
    const load = (manifest: object): object => {
      writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module", ...manifest }));
      const code = `import { probe } from ${JSON.stringify(join(folder, "dist/index.js"))};
        try { probe(); } catch (error) { console.log(JSON.stringify(error)); }`;
      const args = ["--input-type=module", "-e", code];
      return JSON.parse(spawnSync(process.execPath, args, { encoding: "utf8" }).stdout);
    };
    const code = "ERR_AMPOULE_NO_BINDING";
    expect(load({})).toMatchObject({
      code,
      message: expect.stringContaining("mark the package `ampoule` as external"),
      details: { reason: "bundled" },
    });
    expect(load({ imports: { "#native": "./nothing.cjs" } })).toMatchObject({
      code,
      message: expect.stringContaining("install optional dependencies too"),
      details: { reason: "installation" },
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describeWithKvm("errors of a guest", () => {
  test.each([
    ["callSync", sync],
    ["call", async],
  ] as const)("that it returns have kind, message and data, by %s", async (_, call) => {
    const sandbox = await testing();
    expect(await failureOf(() => call(sandbox, "buy")("tea", 9))).toMatchObject({
      code: "ERR_AMPOULE_GUEST_ERROR",
      kind: "OutOfStock",
      message: "only 3 of tea left",
      data: { item: "tea", left: "3" },
    });
    expect(await failureOf(() => call(sandbox, "parse")("x"))).toMatchObject({ kind: "Error" });
    expect(await call(sandbox, "buy")("tea", 3)).toBe(300);
    expect(sandbox.state).toBe("ready");
  });

  test("a panic tells message, place and call stack, with names", async () => {
    const sandbox = await testing();
    const failure = await failureOf(() => async(sandbox, "panic")("it cannot be"));
    expect(failure).toBeInstanceOf(GuestAbortError);
    const { guestMessage, location, backtrace } = failure as unknown as GuestAbortError;
    expect(guestMessage).toBe("it cannot be");
    expect(location?.file).toMatch(/failing\.rs$/);
    expect(location?.line).toBeGreaterThan(1);
    expect(backtrace.some(({ symbol }) => symbol?.includes("testing::failing::panic"))).toBe(true);
    expect(sandbox.state).toBe("poisoned");
  });

  test("a program that ends in a call tells how", async () => {
    const sandbox = await testing();
    expect(await failureOf(() => async(sandbox, "exit")(3))).toMatchObject({
      code: "ERR_AMPOULE_GUEST_EXITED",
      exitCode: 3,
      signal: null,
    });
    expect(sandbox.state).toBe("poisoned");
  });

  test("a panic that the guest catches is none", async () => {
    const sandbox = await testing();
    expect(typeof sync(sandbox, "caught_panic")()).toBe("string");
    expect(sandbox.state).toBe("ready");
  });
});
