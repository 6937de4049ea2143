/** An application and Ampoule that have different copies of OpenTelemetry's API. */
import { afterEach, expect, jest, test } from "@jest/globals";
import { sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { collectSpans, outline, trees } from "./support/telemetry.js";

const REGISTRY = Symbol.for("opentelemetry.js.api.1");
const globals = globalThis as { [REGISTRY]?: object };

afterEach(() => {
  delete globals[REGISTRY];
});

describeWithKvm("a copy of the API that is older than Ampoule's", () => {
  test("has no spans, which is said once with what to do", async () => {
    const warn = jest.spyOn(process, "emitWarning").mockImplementation(() => {});
    try {
      const sandbox = await testing();
      for (const what of ["trace", "metrics", "trace"]) {
        // As version 1.4 registers something; a newer copy does not take it.
        globals[REGISTRY] = { version: "1.4.1", [what]: {} };
        expect(sync(sandbox, "traced_add")(1, 2)).toBe(3);
      }
      const calls = warn.mock.calls as unknown as [string, { code: string }][];
      expect(calls.map(([, { code }]) => code)).toEqual(["AMPOULE_OPENTELEMETRY_VERSION"]);
      expect(calls[0]?.[0]).toMatch(/version 1\.4\.1 .* npm ls @opentelemetry\/api/);
      delete globals[REGISTRY];
      const spans = collectSpans();
      sync(sandbox, "traced_add")(1, 2);
      expect(outline(trees(spans))).toBe("ampoule.call traced_add [add]");
    } finally {
      warn.mockRestore();
    }
  });
});
