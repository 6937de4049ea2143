/**
 * Looking at values that are not ours: what was thrown, and objects of the user's and of other realms.
 * They can be anything, proxies that are revoked and getters that throw included; nothing throws here.
 */
import { AmpouleError } from "../errors.js";

/** A property of `value`; `undefined` also where it cannot be read. */
export function peek(value: unknown, property: PropertyKey): unknown {
  // Not by the exception, which takes 10 us with its stack.
  if (value === undefined || value === null) return undefined;
  try {
    return (value as Record<PropertyKey, unknown>)[property];
  } catch {
    return undefined;
  }
}

/** Whether `value` is an error of ours. */
export function isOurs(value: unknown): value is AmpouleError {
  try {
    return value instanceof AmpouleError;
  } catch {
    return false;
  }
}

/** What an error, or whatever was thrown in the place of one, says; empty if it says nothing. */
export function messageOf(value: unknown): string {
  if (typeof value === "function") return "";
  if (typeof value !== "object" || value === null) return String(value);
  const message = peek(value, "message");
  return typeof message === "string" ? message : "";
}
