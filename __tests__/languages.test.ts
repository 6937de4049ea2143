/** A guest whose functions are known only when it has read a program. */
import { afterEach, expect, test } from "@jest/globals";
import { AmpouleError, type CreateOptions, Sandbox } from "../ts/index.js";
import { async, failureOf, rustGuest, sync } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";

const guest = rustGuest("formulas");
const FORMULAS = `
# The mean of two numbers.
mean left right = left right + 2 /
import rate currency
convert amount currency = amount currency @rate *
seven = 3 4 +
`;

describeWithKvm("a guest of a language", () => {
  let sandbox: Sandbox | undefined;
  afterEach(() => sandbox?.close());

  const start = async (formulas: string, hostFunctions: object = {}): Promise<Sandbox> => {
    const files = { "/formulas": formulas };
    sandbox = await Sandbox.create({ guest, files, hostFunctions } as CreateOptions);
    return sandbox;
  };
  const rate = (currency: number): number => currency + 0.5;

  test("offers what its program has, with names, types and comments", async () => {
    const { exports, imports } = (await start(FORMULAS, { rate })).interface;
    expect(exports.map(({ name }) => name)).toEqual(["mean", "convert", "seven"]);
    expect(imports.map(({ name }) => name)).toEqual(["rate"]);
    expect(exports[0]).toMatchObject({
      documentation: "The mean of two numbers.",
      parameters: [{ name: "left" }, { name: "right" }],
    });
  });

  test("answers calls, asks the host, and is another one with another program", async () => {
    const first = await start(FORMULAS, { rate: async (currency: number) => rate(currency) });
    expect(await async(first, "mean")(1, 2)).toBe(1.5);
    expect(await async(first, "convert")(10, 2)).toBe(25);
    const before = first.statistics.exits;
    expect(await async(first, "seven")()).toBe(7);
    expect(first.statistics.exits - before).toBe(1);
    await first.close();
    const second = await start("mean one = one\nother = 1");
    expect(sync(second, "mean")(5)).toBe(5);
    expect(second.interface.exports).toHaveLength(2);
  });

  test("refuses arguments as any guest does, and fails as its functions do", async () => {
    const cause = new Error("no such currency");
    const failing = () => {
      throw cause;
    };
    const made = await start(`${FORMULAS}\nratio left right = left right /`, { rate: failing });
    const refused = await failureOf(() => sync(made, "mean")(1, "two"));
    expect(refused).toMatchObject({ code: "ERR_AMPOULE_ARGUMENT" });
    expect(refused["message"]).toContain("right");
    const divided = await failureOf(() => sync(made, "ratio")(1, 0));
    expect(divided).toMatchObject({ kind: "DivisionByZero", data: 1 });
    const failed = await failureOf(() => sync(made, "convert")(1, 2));
    expect(failed).toBeInstanceOf(AmpouleError);
    expect(failed["cause"]).toBe(cause);
    expect(sync(made, "mean")(2, 4)).toBe(3);
  });

  test("is not made from a program that is none", async () => {
    const cases = [
      ["mean left = left +", "line 1: an operand is missing"],
      ["\nmean left = right", "line 2: what is `right`?"],
    ] as const;
    for (const [formulas, what] of cases) {
      const failed = await failureOf(() => start(formulas));
      expect(failed["message"]).toContain(`/formulas: ${what}`);
    }
    const missing = await failureOf(() => Sandbox.create({ guest }));
    expect(missing["message"]).toContain("/formulas: No such file or directory");
  });
});
