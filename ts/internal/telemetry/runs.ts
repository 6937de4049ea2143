/** Runs of plain programs: their spans and metrics. */

import { wellFormed } from "../text.js";
import { typeOf } from "./failure.js";
import { meterRun } from "./metrics.js";
import { Operation } from "./operations.js";

/** Does `run`, which runs the program `name`, in a span, and measures it. */
export async function recordedRun<T extends { readonly exitCode: number | null }>(
  name: string,
  run: () => Promise<T>,
): Promise<T> {
  const known = wellFormed(name);
  const start = performance.now();
  const operation = Operation.begin("ampoule.run", known, "off");
  let type: string | undefined;
  try {
    const result = await run();
    const { exitCode } = result;
    // A code other than 0 is a result of the program's, and no failure of the run.
    operation?.describe(exitCode === null ? {} : { "process.exit.code": exitCode });
    operation?.end();
    return result;
  } catch (error) {
    type = typeOf(error);
    operation?.end(error);
    throw error;
  } finally {
    meterRun(known, (performance.now() - start) / 1000, type);
  }
}
