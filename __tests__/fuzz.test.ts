/** A minute of what `npm run campaign -- api` does for ten: always the same values. */
import { afterAll, beforeAll, test } from "@jest/globals";
import * as fc from "fast-check";
import * as api from "../ts/index.js";
import { propertiesOf } from "./support/fuzz.mjs";
import { rustGuest } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";

const SEED = 20_261_128;
const RUNS = 40;

describeWithKvm("random types, values and misuse", () => {
  const { properties, close } = propertiesOf(fc, api, rustGuest("values"));
  const strays: unknown[] = [];
  const stray = (reason: unknown): number => strays.push(reason);

  beforeAll(() => {
    process.on("unhandledRejection", stray);
  });
  afterAll(async () => {
    process.off("unhandledRejection", stray);
    await close();
  });

  test.each(Object.entries(properties))("end as they should: %s", async (_, property) => {
    await fc.assert(property, { seed: SEED, numRuns: RUNS, endOnFailure: true });
    await new Promise((resolve) => setImmediate(resolve));
    if (strays.length > 0) throw new Error("a promise was left behind", { cause: strays[0] });
  });
});
