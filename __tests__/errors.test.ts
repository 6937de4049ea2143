import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "@jest/globals";
import { AmpouleError, ERROR_CODES, GuestAbortError } from "../ts/index.js";
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
