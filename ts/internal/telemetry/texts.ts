/**
 * Texts on their way to collectors. A strict one refuses a whole request, other callers' spans in it
 * included, for one text that is no well-formed Unicode: whatever is cut, or comes from elsewhere, goes
 * through here.
 */
import { cutText, wellFormed } from "../text.js";
import type { Attributes } from "./spans.js";

/** Characters of a name: of a span, an event or the type of an error. */
const NAME_MAX = 256;
/** Characters of what is said about a failure. */
const REASON_MAX = 4096;

function shortened(text: string, units: number): string {
  return text.length > units ? `${cutText(text, units)}…` : wellFormed(text);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is to be replaced
const CONTROLS = /[\u0000-\u001f\u007f-\u009f]/;

/** `text` as backends take a name: not long, and without line breaks and other control characters. */
export function nameOf(text: string): string {
  const name = shortened(text, NAME_MAX);
  if (!CONTROLS.test(name)) return name;
  return name.replaceAll(/\s/g, " ").replaceAll(new RegExp(CONTROLS, "g"), "\ufffd");
}

/** What is said about a failure, whoever has worded it. */
export function reasonOf(text: string): string {
  return shortened(text, REASON_MAX);
}

/**
 * `attributes` as an SDK leaves them whose limit for the length of values is `units`: it cuts wherever
 * that is. Most often they are the object itself.
 */
export function fitted(attributes: Attributes, units: number): Attributes {
  let changed: Record<string, string | number | boolean> | undefined;
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value !== "string" || value.length <= units) continue;
    changed ??= { ...attributes };
    changed[key] = cutText(value, units);
  }
  return changed ?? attributes;
}

/** The limit for the length of values in what an SDK keeps of its limits; infinite if there is none. */
export function lengthLimitOf(limits: unknown): number {
  const { attributeValueLengthLimit: limit } = (limits ?? {}) as {
    attributeValueLengthLimit?: unknown;
  };
  return typeof limit === "number" && limit > 0 ? limit : Number.POSITIVE_INFINITY;
}
