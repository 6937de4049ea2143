/** The golden vectors of `schema/vectors`, replayed in a guest: what spans they become. */
import { readFileSync } from "node:fs";
import { expect, jest, test } from "@jest/globals";
import { Sandbox } from "../ts/index.js";
import { rustGuest } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { collectSpans, flat, only } from "./support/telemetry.js";

type Fields = Readonly<Record<string, unknown>>;
type Entry = readonly [kind: number, ...rest: unknown[]];

interface Vector {
  readonly name: string;
  readonly batch: string;
  readonly entries: readonly Entry[];
}

const VECTORS = JSON.parse(
  readFileSync(new URL("../schema/vectors/trace.json", import.meta.url), "utf8"),
) as Vector[];

/** The guest's SDK has told of the start of the call before. */
const isOfTheStart = ({ entries }: Vector): boolean =>
  entries.some(([kind, counts]) => kind === 7 && "beforeStart" in (counts as Fields));

/** A span as a vector's entries describe it, or as it was collected. */
interface Expected {
  readonly name: unknown;
  readonly parent: unknown;
  readonly attributes: Record<string, unknown>;
  readonly events: string[];
}

/** Spans by the entries: callsites 0, opened 1, edited 2, closed 3, events 4. */
function expected(entries: readonly Entry[]): Expected[] {
  const sites = new Map<unknown, Entry>();
  const spans = new Map<unknown, Expected>();
  const call: Expected = {
    name: "ampoule.call trace_raw",
    parent: null,
    attributes: {},
    events: [],
  };
  for (const entry of entries) {
    const [kind, first, second, third] = entry;
    if (kind === 0) sites.set(first, entry);
    else if (kind === 1) {
      const [, , ofSite] = sites.get(third) as Entry;
      const [, renamed] = (entry[7] ?? []) as readonly unknown[];
      const name = renamed ?? ofSite;
      const parent = (spans.get(second) ?? call).name;
      spans.set(first, { name, parent, attributes: { ...(entry[6] as Fields) }, events: [] });
    } else if (kind === 2) Object.assign(spans.get(first)?.attributes ?? {}, second);
    else if (kind === 3 && entry[4] === 1) {
      Object.assign(spans.get(first)?.attributes ?? {}, { "ampoule.unclosed": true });
    } else if (kind === 3 && entry[4] === 3) {
      Object.assign(spans.get(first)?.attributes ?? {}, { "error.type": "panic" });
    } else if (kind === 4) {
      const { message = sites.get(second)?.[2] } = entry[5] as Fields;
      (spans.get(first) ?? call).events.push(String(message).slice(0, 20));
    }
  }
  return [call, ...spans.values()];
}

/** Attributes that do not come from the batch's fields. */
const OURS = /^(code\.|ampoule\.(target|level|sandbox|clock))/;
/** A field that OpenTelemetry's SDK loses, since it assigns to a plain object. */
const LOST = "__proto__";

describeWithKvm("a batch of schema/vectors", () => {
  // Some vectors are wrong on purpose, and the times of all are of another clock.
  jest.spyOn(process, "emitWarning").mockImplementation(() => {});

  test.each(VECTORS.filter((vector) => !isOfTheStart(vector)))(
    "$name",
    async ({ batch, entries }) => {
      await using sandbox = await Sandbox.create({
        guest: rustGuest("hostile"),
        hostFunctions: { touch: () => {} },
        trace: "trace",
      });
      const exporter = collectSpans();
      await sandbox.call["trace_raw"]?.(Buffer.from(batch, "hex"), null, null, null, true);
      const root = only(exporter, "ampoule.call trace_raw");
      const found = flat([root]).map(({ span, name, attributes }): Expected => {
        const parent = exporter
          .getFinishedSpans()
          .find((each) => each.spanContext().spanId === span.parentSpanContext?.spanId);
        return {
          name,
          parent: parent?.name ?? null,
          attributes: Object.fromEntries(
            Object.entries(attributes).filter(([key]) => !OURS.test(key)),
          ),
          events: span.events.map((event) => event.name.slice(0, 20)),
        };
      });
      const wanted = expected(entries);
      for (const { attributes } of wanted) delete attributes[LOST];
      expect(found).toEqual(wanted);
    },
  );
});
