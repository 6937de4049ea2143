/** What the final step of a run leaves a sandbox in: every kind of step, in every condition. */
import { describe, expect, test } from "@jest/globals";
import { type LeftBehind, leftBehind } from "../../ts/internal/driver/left-behind.js";
import { Condition, Step } from "../../ts/internal/native/numbers.js";

/** A step as the native side makes it: the condition stands where a function would. */
const stepOf = (kind: number, condition: number): number => kind | (condition << 5);

type Kind = keyof typeof Step;
type Row = readonly [kind: Kind, usual: LeftBehind, restoring: LeftBehind];

/** By kind: in a sandbox that keeps what calls do, and in one that is restored after them. */
const PLAIN: readonly Row[] = [
  ["ready", "changed", "changed"],
  ["return", "changed", "restored"],
  ["guestError", "changed", "restored"],
  ["exited", "poisoned", "poisoned"],
  ["stopped", "poisoned", "poisoned"],
  ["snapshot", "changed", "changed"],
  ["restored", "changed", "changed"],
  // The native side has refused: nobody knows what is left.
  ["none", "changed", "changed"],
];

describe("where the kind tells", () => {
  test.each(PLAIN)("%s: %s, or %s", (kind, usual, restoring) => {
    expect(leftBehind(stepOf(Step[kind], 0), false)).toBe(usual);
    expect(leftBehind(stepOf(Step[kind], 0), true)).toBe(restoring);
  });
});

test.each(PLAIN)("%s with a restore that failed is broken", (kind) => {
  expect(leftBehind(stepOf(Step[kind], Condition.broken), false)).toBe("broken");
  expect(leftBehind(stepOf(Step[kind], Condition.broken), true)).toBe("broken");
});

describe("in a sandbox that is ready all the same", () => {
  test.each<Row>([
    // A call that was stopped is restored; a snapshot that was not taken leaves everything as it was.
    ["stopped", "ready", "restored"],
    ["exited", "ready", "ready"],
    ["return", "ready", "restored"],
    ["guestError", "ready", "restored"],
    ["snapshot", "ready", "ready"],
  ])("%s: %s, or %s", (kind, usual, restoring) => {
    expect(leftBehind(stepOf(Step[kind], Condition.ready), false)).toBe(usual);
    expect(leftBehind(stepOf(Step[kind], Condition.ready), true)).toBe(restoring);
  });
});

test("the length of what it brought plays no part", () => {
  const withLength = stepOf(Step.return, 0) + 1000 * 2 ** 21;
  expect(leftBehind(withLength, true)).toBe("restored");
});
