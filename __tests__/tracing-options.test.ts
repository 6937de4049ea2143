/** The option `trace`: what of a guest is recorded. */
import { expect, test } from "@jest/globals";
import { async, failureOf, sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { collectSpans, only, outline, trees } from "./support/telemetry.js";

/** Names of the events of the only call. */
function events(exporter: ReturnType<typeof collectSpans>): readonly string[] {
  return only(exporter, "ampoule.call levels").span.events.map(({ name }) => name);
}

describeWithKvm("the option trace", () => {
  const OURS = ["error", "warn", "info", "debug", "trace"];
  const OTHERS = OURS.map((level) => `other ${level}`);
  const CASES: readonly (readonly [string, readonly string[]])[] = [
    ["info", [...OURS.slice(0, 3), ...OTHERS.slice(0, 3)]],
    ["trace", [...OURS, ...OTHERS]],
    ["error", ["error", "other error"]],
    ["other=debug", OTHERS.slice(0, 4)],
    ["warn,other::target=off", ["error", "warn"]],
    ["off,testing::traced=trace", OURS],
    ["off,testing=error,testing::traced=warn", ["error", "warn"]],
    [" WARN , other::target = Trace ", ["error", "warn", ...OTHERS]],
    ["test=trace", []],
    ["off", []],
  ];

  test.each(CASES)(
    "%s lets through what it says, for a sandbox and for one call",
    async (trace, names) => {
      const spans = collectSpans();
      const all = await testing({ trace });
      sync(all, "levels")();
      expect(events(spans)).toEqual(names);
      spans.reset();
      const one = await testing({ trace: "off" });
      await async(one, "levels")({ trace });
      expect(events(spans)).toEqual(names);
      spans.reset();
      sync(one, "levels")();
      expect(events(spans)).toEqual([]);
    },
  );

  test("off leaves the spans of the host's side, and the guest writes nothing of its own", async () => {
    const sandbox = await testing({ trace: "off" });
    const spans = collectSpans();
    sync(sandbox, "host_in_span")(1);
    expect(outline(trees(spans))).toBe("ampoule.call host_in_span [ampoule.host fetch_number]");
    expect(sandbox.statistics.traceBytes).toBe(0);
  });

  test("false leaves no spans at all", async () => {
    const spans = collectSpans();
    const sandbox = await testing({ trace: false });
    sync(sandbox, "nested")(3);
    using snapshot = await sandbox.snapshot();
    await sandbox.restore(snapshot);
    expect(spans.getFinishedSpans()).toEqual([]);
    expect(sandbox.statistics.traceBytes).toBe(0);
    await async(sandbox, "nested")(1, { trace: "info" });
    expect(outline(trees(spans))).toBe("ampoule.call nested [level]");
  });

  test("is inherited by a fork", async () => {
    const sandbox = await testing({ trace: "error" });
    await using fork = await sandbox.fork();
    await using verbose = await sandbox.fork({ trace: "debug" });
    const spans = collectSpans();
    sync(fork, "levels")();
    expect(events(spans)).toEqual(["error", "other error"]);
    spans.reset();
    sync(verbose, "levels")();
    expect(events(spans)).toHaveLength(8);
  });

  const WRONG: readonly (readonly [unknown, string])[] = [
    ["", "off"],
    ["loud", '"loud"'],
    ["info,,warn", "LEVEL"],
    ["info,my=loud", '"my=loud"'],
    ["=info", '"=info"'],
    ["a b=info", '"a b=info"'],
    [`${"x".repeat(2048)}=info`, "2048 bytes"],
    [true, "boolean"],
    [7, "number"],
    [null, "null"],
  ];
  test.each(WRONG)("refuses %j", async (trace, hint) => {
    for (const failure of [
      await failureOf(() => testing({ trace: trace as string })),
      await failureOf(async () => sync(await testing(), "levels")({ trace })),
    ]) {
      expect(failure).toMatchObject({ code: "ERR_AMPOULE_INVALID_ARGUMENT" });
      expect(failure["message"]).toContain(hint);
      expect((failure["details"] as { option: string }).option).toMatch(/trace$/);
    }
  });
});
