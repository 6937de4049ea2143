/** Places in a guest's source that make spans, events or log records. */
import type { GuestLogLevel } from "../../guest-log.js";
import { CallsiteKind, type CallsiteRecord } from "./records.js";
import type { Attributes } from "./spans.js";
import { nameOf } from "./texts.js";

const LEVELS: readonly GuestLogLevel[] = ["error", "warn", "info", "debug", "trace"];

/** One such place. */
export interface Callsite {
  readonly kind: number;
  readonly name: string;
  readonly target: string;
  readonly level: GuestLogLevel;
  readonly file: string | null;
  readonly line: number | null;
  /** Whether the guest's SDK tells of panics from there. */
  readonly isPanic: boolean;
  /** What everything made there is described with. */
  readonly attributes: Attributes;
}

/** The callsite that `record` introduces, in the sandbox of that name. */
export function callsiteOf(
  [, , name, target, number, kind, file, line]: CallsiteRecord,
  sandbox: string,
): Callsite {
  const level = LEVELS[number - 1] ?? "trace";
  const attributes = {
    ...(file === null ? {} : { "code.file.path": file }),
    ...(line === null ? {} : { "code.line.number": line }),
    "ampoule.target": target,
    "ampoule.level": level,
    "ampoule.sandbox.name": sandbox,
  };
  const isPanic = kind === CallsiteKind.event && name === "panic" && target === "panic";
  return { kind, name: guestName(name), target, level, file, line, isPanic, attributes };
}

/** `name` as that of something of a guest's, which is never one of ours. */
export function guestName(name: string): string {
  return nameOf(name.startsWith("ampoule.") ? `guest.${name}` : name || "unnamed");
}

/** `fields` and what the callsite says, which comes first: an SDK leaves out what is last. */
export function described(fields: Attributes, { attributes }: Callsite): Attributes {
  return { ...attributes, ...fields };
}

/** Whether there are any. */
export function isEmpty(attributes: Attributes): boolean {
  for (const _ in attributes) return false;
  return true;
}
