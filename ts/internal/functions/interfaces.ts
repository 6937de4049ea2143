/** Parsed interfaces: all sandboxes of a guest share one, for parsing takes longer than a call. */
import { AmpouleError } from "../../errors.js";
import {
  type GuestInterface,
  parseInterface,
  publicInterface,
  type TypedInterface,
} from "../../interface.js";

/** An interface in its two forms. */
export interface ParsedInterface {
  readonly json: string;
  readonly typed: TypedInterface;
  readonly described: GuestInterface;
}

/** By their JSON, the most recently used last. */
const parsed = new Map<string, ParsedInterface>();
const PARSED_MAX = 32;

/**
 * Parses what the native side tells of a guest's interface.
 *
 * @throws AmpouleError `ERR_AMPOULE_INCOMPATIBLE_GUEST`
 */
export function interfaceOf(json: string): ParsedInterface {
  const found = parsed.get(json) ?? parse(json);
  parsed.delete(json);
  parsed.set(json, found);
  for (const oldest of parsed.keys()) {
    if (parsed.size <= PARSED_MAX) break;
    parsed.delete(oldest);
  }
  return found;
}

function parse(json: string): ParsedInterface {
  try {
    const typed = parseInterface(json);
    return { json, typed, described: publicInterface(typed) };
  } catch (cause) {
    throw new AmpouleError(
      "ERR_AMPOULE_INCOMPATIBLE_GUEST",
      `the guest's interface cannot be used: ${(cause as Error).message}`,
      { cause },
    );
  }
}
