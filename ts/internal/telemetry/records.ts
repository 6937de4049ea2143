/**
 * What the native side reports of a traced call. It has made well-formed records of what the guest
 * wrote; names, texts and the keys of fields are the guest's own.
 */
import type { Attributes } from "./spans.js";

/** Comes before the first use of `callsite`. Another one may have that number from here on. */
export type CallsiteRecord = [
  kind: 0,
  callsite: number,
  name: string,
  target: string,
  level: number,
  what: number,
  file: string | null,
  line: number | null,
];
/** A span opens. `parent` is 0 for the call. */
export type OpenRecord = [
  kind: 1,
  span: number,
  parent: number,
  callsite: number,
  seconds: number,
  nanoseconds: number,
  fields: Attributes,
  otel?: Otel,
];
/** More of an open span. */
export type EditRecord = [kind: 2, span: number, fields: Attributes, otel?: Otel];
/** What fields of a span say of itself, `null` for nothing: a kind by the number of OpenTelemetry's API. */
export type Otel = readonly [
  kind: number | null,
  name: string | null,
  isOk: boolean | null,
  message: string | null,
];
/** A span ends, in one of the ways of {@link Ending}. */
export type CloseRecord = [
  kind: 3,
  span: number,
  seconds: number,
  nanoseconds: number,
  ending: number,
];
/** An event or log record; its text is the field `message`. */
export type EventRecord = [
  kind: 4,
  span: number,
  callsite: number,
  seconds: number,
  nanoseconds: number,
  fields: Attributes,
];
/** A host function is called, by its number; nothing comes behind it until that step is answered. */
export type HostBeginRecord = [
  kind: 5,
  span: number,
  function_: number,
  seconds: number,
  nanoseconds: number,
];
/**
 * The guest goes on with the answer, behind so many nanoseconds of waiting for a processor; or it was
 * stopped (1).
 */
export type HostEndRecord = [
  kind: 6,
  stopped: number,
  seconds: number,
  nanoseconds: number,
  waited: number,
];
/**
 * How often what was wrong with the call's trace data, and nothing that was not; comes last, if at all.
 */
export type TroubleRecord = [kind: 7, counts: Readonly<Record<string, number>>];
/** A span follows from another, which is open or one of the last {@link REMEMBERED} that began. */
export type LinkRecord = [kind: 8, span: number, to: number];
/** The guest begins to initialise. */
export type StartRecord = [kind: 9, seconds: number, nanoseconds: number];
/** There is more to take; comes last. */
export type MoreRecord = [kind: 10];

/** Spans that others can follow from when they have ended. */
export const REMEMBERED = 4096;

export type TraceRecord =
  | CallsiteRecord
  | OpenRecord
  | EditRecord
  | CloseRecord
  | EventRecord
  | HostBeginRecord
  | HostEndRecord
  | TroubleRecord
  | LinkRecord
  | StartRecord
  | MoreRecord;

/** How a guest's span ended. */
export const Ending = {
  closed: 0,
  /** The call returned before it. */
  unclosed: 1,
  /** The guest was stopped in it. */
  stopped: 2,
  /** A panic has closed it. */
  panicked: 3,
} as const;

/** What a callsite makes. */
export const CallsiteKind = { span: 0, event: 1, log: 2 } as const;

/** Reads what `takeTrace` has given. */
export function recordsOf(json: string): readonly TraceRecord[] {
  // Most steps of most calls bring nothing.
  return json.length <= 2 ? [] : (JSON.parse(json) as TraceRecord[]);
}
