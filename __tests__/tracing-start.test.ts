/** What a guest does before it is ready. */
import { expect, test } from "@jest/globals";
import { type GuestLog, Pool } from "../ts/index.js";
import { failureOf, HOST_FUNCTIONS, rustGuest, sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { collectSpans, expectNested, only, outline, trees } from "./support/telemetry.js";

const env = (TESTING_INIT: string) => ({ env: { TESTING_INIT } });

describeWithKvm("the start of a guest", () => {
  test("is a span of the sandbox's making, with the spans of the init function in it", async () => {
    const spans = collectSpans();
    const sandbox = await testing({ name: "starting", ...env("trace") });
    expect(outline(trees(spans))).toBe("ampoule.create [ampoule.start [prepare]]");
    expectNested(spans);
    const { span, attributes } = only(spans, "prepare");
    expect(attributes).toMatchObject({ step: 1, "ampoule.sandbox.name": "starting" });
    expect(span.events.map(({ name }) => name)).toEqual(["preparing"]);
    // The image that it leaves tells nothing by itself.
    spans.reset();
    expect(sync(sandbox, "current_context")({ trace: false })).toBeNull();
    sync(sandbox, "traced_add")(1, 2);
    expect(outline(trees(spans))).toBe("ampoule.call traced_add [add]");
    await testing({ name: "starting", ...env("trace") });
    expect(outline(trees(spans).slice(1))).toBe("ampoule.create");
  });

  test("is told as the options say, and to onLog", async () => {
    const records: GuestLog[] = [];
    const onLog = (record: GuestLog): unknown => records.push(record);
    await testing({ name: "deaf", ...env("trace"), trace: "off", onLog });
    await testing({ name: "mute", ...env("trace"), trace: false, onLog });
    expect(records).toEqual([]);
    await testing({ name: "heard", ...env("trace"), onLog });
    expect(records).toMatchObject([
      { message: "preparing", function: null, sandbox: "heard", span: null },
    ]);
  });

  test("has log records of an init function that installs the logger first", async () => {
    const records: GuestLog[] = [];
    const onLog = (record: GuestLog): unknown => records.push(record);
    const sandbox = await testing({ name: "logging", ...env("install"), onLog });
    expect(records.map(({ message }) => message)).toEqual(["preparing", "a record of preparing"]);
    records.length = 0;
    sync(sandbox, "logs")();
    expect(records.length).toBeGreaterThan(0);
  });

  test("is told up to where the init function makes a subscriber of its own", async () => {
    const spans = collectSpans();
    const sandbox = await testing({ name: "silent", ...env("silence") });
    expect(outline(trees(spans))).toBe("ampoule.create [ampoule.start [prepare]]");
    spans.reset();
    sync(sandbox, "traced_add")(1, 2);
    expect(outline(trees(spans))).toBe("ampoule.call traced_add");
  });

  test("that fails has failed, and the panic is told", async () => {
    const spans = collectSpans();
    const failure = await failureOf(() => testing({ name: "failing", ...env("panic") }));
    expect(failure["code"]).toBe("ERR_AMPOULE_GUEST_ABORT");
    const start = only(spans, "ampoule.start");
    expect(start.attributes).toMatchObject({ "error.type": "ERR_AMPOULE_GUEST_ABORT" });
    expect(start.span.events.map(({ name }) => name)).toEqual(["exception"]);
  });

  test("of a pool is told once", async () => {
    const spans = collectSpans();
    const pool = await Pool.create({
      guest: rustGuest("testing"),
      name: "pooled",
      ...env("trace"),
      hostFunctions: HOST_FUNCTIONS,
      size: { min: 3, max: 3 },
    });
    await pool.close();
    const starts = spans.getFinishedSpans().filter(({ name }) => name === "ampoule.start");
    expect(starts).toHaveLength(1);
  });
});
