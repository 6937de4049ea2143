/** What a waterfall says of spans and events, in words and colours. */
import type { Attributes } from "../../internal/telemetry/spans.js";
import { onOneLine, type Piece, type Style } from "../terminal.js";
import type { Stroke } from "./bars.js";
import type { RecordedEvent, RecordedSpan } from "./recording.js";

/** Attributes that say where something comes from, for which a waterfall has no room. */
const UNSHOWN = new Set([
  "ampoule.clock",
  "ampoule.host.wait",
  "ampoule.level",
  "ampoule.sandbox.name",
  "ampoule.target",
  "ampoule.truncated",
  "ampoule.unclosed",
  "code.file.path",
  "code.function.name",
  "code.line.number",
  "error.type",
  "exception.message",
  "exception.stacktrace",
  "exception.type",
]);

const LEVELS: Readonly<Record<string, Style | null>> = {
  error: "red",
  warn: "yellow",
  info: null,
  debug: "dim",
  trace: "dim",
};

/** Whose work a span is. */
export function originOf(span: RecordedSpan): "call" | "guest" | "host" {
  if (span.isRoot) return "call";
  // Of what is recorded, only a guest's spans have a level.
  return "ampoule.level" in span.attributes ? "guest" : "host";
}

/** Whether a span is a host function that the guest has called, and not what that did. */
export function isHostCall(span: RecordedSpan): boolean {
  return originOf(span) === "host" && span.name.startsWith("ampoule.host ");
}

/** Name and fields of a span. Ampoule's own spans are named without the prefix that all of them have. */
export function spanLabel(span: RecordedSpan): Piece[] {
  const full = originOf(span) === "guest" ? span.name : span.name.replace(/^ampoule\./, "");
  const name = onOneLine(full) || "(no name)";
  const { attributes, failure } = span;
  return [
    failure === null ? ["bold", name] : ["red", `✗ ${name}`],
    ...(attributes["ampoule.unclosed"] === true ? [UNCLOSED] : []),
    ["dim", fieldsText(attributes)],
  ];
}

const UNCLOSED: Piece = ["yellow", " (not closed)"];

/** How the bar of a span is drawn. */
export function spanLook(span: RecordedSpan): { stroke: Stroke; style: Style } {
  const origin = originOf(span);
  const stroke = origin === "host" ? "host" : "guest";
  if (span.failure !== null) return { stroke, style: "red" };
  return { stroke, style: ({ call: "blue", guest: "cyan", host: "magenta" } as const)[origin] };
}

/** The colour of an event: that of its level. */
export function eventStyle({ attributes }: RecordedEvent): Style | null {
  return LEVELS[String(attributes["ampoule.level"])] ?? null;
}

/** What an event says. */
export function eventText({ name, attributes }: RecordedEvent): string {
  const level = String(attributes["ampoule.level"] ?? "").toUpperCase();
  // A panic's event has the name that OpenTelemetry's conventions give it.
  const text = String(attributes["exception.message"] ?? name);
  return `${level.padEnd(5)} ${onOneLine(text)}${fieldsText(attributes)}`.trimStart();
}

function fieldsText(attributes: Attributes): string {
  const shown = Object.entries(attributes).filter(([key]) => !UNSHOWN.has(key));
  const texts = shown.map(([key, value]) => ` ${onOneLine(key)}=${valueText(value)}`);
  return texts.join("") + (attributes["ampoule.truncated"] === true ? " (truncated)" : "");
}

/** Text is quoted where it could not be told from what follows it. */
function valueText(value: string | number | boolean): string {
  if (typeof value !== "string") return String(value);
  return onOneLine(/^[^\s"=]+$/.test(value) ? value : JSON.stringify(value));
}
