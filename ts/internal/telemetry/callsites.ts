/** Places in a guest's source that make spans, events or log records. */
import type { GuestLogLevel } from "../../guest-log.js";
import { CallsiteKind, type CallsiteRecord } from "./records.js";
import type { Attributes } from "./spans.js";

const LEVELS: readonly GuestLogLevel[] = ["error", "warn", "info", "debug", "trace"];

/** Characters of a name that become the name of a span or an event. */
const NAME_MAX = 256;

/** One such place. */
export interface Callsite {
  readonly kind: number;
  readonly name: string;
  readonly target: string;
  readonly level: GuestLogLevel;
  readonly file: string | null;
  readonly line: number | null;
  /** What everything made there is described with, whatever its fields say. */
  readonly attributes: Attributes;
}

/** The callsite that `record` introduces, in the sandbox of that name. */
export function callsiteOf(
  [, , name, target, number, kind, file, line]: CallsiteRecord,
  sandbox: string,
): Callsite {
  const level = LEVELS[number - 1] ?? "trace";
  const attributes = {
    ...(kind === CallsiteKind.span ? { "code.function.name": name } : {}),
    ...(file === null ? {} : { "code.file.path": file }),
    ...(line === null ? {} : { "code.line.number": line }),
    "ampoule.target": target,
    "ampoule.level": level,
    "ampoule.sandbox.name": sandbox,
  };
  return { kind, name: shortened(name || "unnamed"), target, level, file, line, attributes };
}

/** `name`, cut to what backends take as one. */
export function shortened(name: string): string {
  return name.length > NAME_MAX ? `${name.slice(0, NAME_MAX)}…` : name;
}

/** Attributes that callsites have. No guest can put other values in their place. */
const RESERVED = new Set([
  "code.function.name",
  "code.file.path",
  "code.line.number",
  "ampoule.target",
  "ampoule.level",
  "ampoule.sandbox.name",
]);

/**
 * `fields` without those that are named like what Ampoule says; `undefined` if there are none. Most often
 * that is the object itself, since copying one costs as much as starting a span.
 */
export function ownFields(fields: Attributes): Attributes | undefined {
  let isEmpty = true;
  for (const name in fields) {
    if (RESERVED.has(name)) return withoutReserved(fields);
    isEmpty = false;
  }
  return isEmpty ? undefined : fields;
}

function withoutReserved(fields: Attributes): Attributes {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !RESERVED.has(name)));
}

/** `fields` and what the callsite says. */
export function described(fields: Attributes, { attributes }: Callsite): Attributes {
  const own = ownFields(fields);
  return own === undefined ? attributes : { ...own, ...attributes };
}
