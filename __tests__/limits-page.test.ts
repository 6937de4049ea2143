/** The defaults in `docs/limits.md` are those of the code. */
import { readFileSync } from "node:fs";
import { expect, test } from "@jest/globals";
import { DEFAULTS } from "../ts/index.js";

const MIB = 1024 ** 2;
const SIZES = ["memory", "message", "stack", "output", "trace"];

test("every default is in the table of limits", () => {
  const page = readFileSync(new URL("../docs/limits.md", import.meta.url), "utf8");
  const documented = Object.fromEntries(
    [...page.matchAll(/^\| `(?:limits\.)?(\w+)` \| `([^`]+)` \|/gm)].map(([, name, value]) => [
      name,
      value,
    ]),
  );
  const actual = Object.fromEntries(
    Object.entries(DEFAULTS).map(([name, value]) => [
      name,
      SIZES.includes(name) ? `"${value / MIB}MiB"` : String(value),
    ]),
  );
  expect(documented).toEqual(actual);
});
