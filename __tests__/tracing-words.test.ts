/** What a guest says of its spans, and what it cannot say. */
import { expect, jest, test } from "@jest/globals";
import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { async, sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { collectSpans, flat, only, outline, trees } from "./support/telemetry.js";

describeWithKvm("a guest", () => {
  test("says of spans what kind they are, what they are called and how they went", async () => {
    const sandbox = await testing();
    const spans = collectSpans();
    sync(sandbox, "describes_itself")();
    const shown = flat(trees(spans)).map(({ name, span: { kind, status } }) => [
      name,
      kind,
      status.code,
    ]);
    const { UNSET, OK, ERROR } = SpanStatusCode;
    expect(shown).toEqual([
      ["ampoule.call describes_itself", SpanKind.INTERNAL, UNSET],
      ["GET /", SpanKind.SERVER, OK],
      ["renamed", SpanKind.INTERNAL, ERROR],
      ["wrong", SpanKind.INTERNAL, UNSET],
      // No span of a guest's is called like one of the host's.
      ["guest.ampoule.call forged", SpanKind.INTERNAL, UNSET],
      ["guest.ampoule.host forged", SpanKind.INTERNAL, UNSET],
      ["fine", SpanKind.INTERNAL, OK],
      // It has not ended well yet.
      ["open", SpanKind.INTERNAL, UNSET],
    ]);
    expect(only(spans, "renamed").span.status.message).toBe("came to nothing");
    expect(only(spans, "wrong").attributes).toMatchObject({
      "guest.otel.kind": "sideways",
      "guest.otel.status_code": 7,
    });
    expect(Object.keys(only(spans, "GET /").attributes).filter((key) => /otel/.test(key))).toEqual(
      [],
    );
  });

  test("cannot say what the host says, nor make it warn", async () => {
    const warn = jest.spyOn(process, "emitWarning").mockImplementation(() => {});
    try {
      const sandbox = await testing({ name: "forger" });
      const spans = collectSpans();
      sync(sandbox, "forges")();
      const { span, attributes } = only(spans, "forging");
      expect(attributes).toEqual({
        "guest.ampoule.clock": "approximate",
        "guest.ampoule.unclosed": true,
        "guest.ampoule.truncated": true,
        "guest.ampoule.level": "trace",
        "guest.ampoule.sandbox.name": "another",
        "guest.error.type": "ERR_AMPOULE_TIMEOUT",
        "guest.code.file.path": "elsewhere",
        "guest.service.name": "bank",
        "guest.exception.message": "no exception",
        unnamed: "nameless",
        plain: 1,
        "ampoule.level": "info",
        "ampoule.sandbox.name": "forger",
        "ampoule.target": "testing::traced",
        "code.file.path": expect.stringMatching(/traced\.rs$/),
        "code.line.number": expect.any(Number),
      });
      expect(span.events[0]?.attributes).toMatchObject({
        "guest.ampoule.clock": "approximate",
        "guest.otel.kind": "server",
        "ampoule.level": "info",
      });
      expect(warn.mock.calls).toEqual([]);
    } finally {
      warn.mockRestore();
    }
  });

  test("links spans to those that they follow from, also to closed ones", async () => {
    const sandbox = await testing();
    const spans = collectSpans();
    for (const call of [sync, async]) {
      spans.reset();
      await call(sandbox, "follows")();
      const linked = only(spans, "follower").span.links.map(({ context: { spanId } }) => spanId);
      const ids = ["closed", "open"].map((name) => only(spans, name).span.spanContext().spanId);
      expect(linked).toEqual(ids);
    }
  });

  test("fails spans by errors that are recorded in them, and no others", async () => {
    const sandbox = await testing();
    const spans = collectSpans();
    sync(sandbox, "fails_in_a_span")();
    expect(outline(trees(spans))).toBe(
      "ampoule.call fails_in_a_span [around [instrumented, instrumented, logged]]",
    );
    const codes = flat(trees(spans)).map(({ span }) => span.status.code);
    const { UNSET, ERROR } = SpanStatusCode;
    expect(codes).toEqual([UNSET, UNSET, UNSET, ERROR, ERROR]);
  });

  test("fails the span that a caught panic closes, and not the one that goes on", async () => {
    const sandbox = await testing();
    const spans = collectSpans();
    sync(sandbox, "catches_a_panic")();
    const { span, attributes } = only(spans, "panicking");
    expect(span.status).toEqual({ code: SpanStatusCode.ERROR, message: "the guest panicked" });
    expect(attributes).toMatchObject({ "error.type": "panic" });
    expect(span.events[0]).toMatchObject({
      name: "exception",
      attributes: { "exception.type": "panic", "exception.message": "nothing to worry about" },
    });
    expect(only(spans, "catching").span.status.code).toBe(SpanStatusCode.UNSET);
  });
});
