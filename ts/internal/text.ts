/** Text of a guest's, or of whoever else may mean harm. */

/** Text without what a terminal takes for commands, for an end of the line or for another order of reading. */
export function harmless(text: string): string {
  return wellFormed(text).replaceAll(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is to be replaced
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    "\ufffd",
  );
}

/** `text` with U+FFFD for every half of a character: what UTF-8 makes of it. */
export function wellFormed(text: string): string {
  return text.isWellFormed() ? text : text.toWellFormed();
}

/** {@link harmless} text with its line breaks as spaces. */
export function onOneLine(text: string): string {
  return harmless(text.replaceAll(/[\s\u0085]+/g, " ").trim());
}

/** The first `units` UTF-16 units of `text`, {@link wellFormed}: no character is cut in two. */
export function cutText(text: string, units: number): string {
  if (text.length <= units) return wellFormed(text);
  const last = text.charCodeAt(units - 1);
  return wellFormed(text.slice(0, last >= 0xd800 && last < 0xdc00 ? units - 1 : units));
}
