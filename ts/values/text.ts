/** Texts of guests and users inside messages: never long, never half a character. */
import { cutText } from "../internal/text.js";

const LENGTH_MAX = 60;

/** The beginning of `text`, with a mark where it was cut. */
export function cut(text: string, length = LENGTH_MAX): string {
  return text.length <= length ? text : `${cutText(text, length)}…`;
}

const NAMED_MAX = 12;

/** The first of `things`, as `a or b or c`; how many more there are is told. */
export function oneOf<T>(things: readonly T[], nameOf: (thing: T) => string): string {
  const names = [...new Set(things.slice(0, NAMED_MAX).map(nameOf))].join(" or ");
  const more = things.length - NAMED_MAX;
  return more > 0 ? `${names} or one of ${more} more` : names;
}
