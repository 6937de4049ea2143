/** What `console.log` shows of our objects: a few facts on one line, not what they are made of. */
import type { InspectOptions, inspect } from "node:util";

/** What `util.inspect` gives to a method that it finds. */
export type Shown = [depth: number, options: InspectOptions, look: typeof inspect];

/** A line with the class and the facts. */
export function show(what: string, facts: object, [, options, look]: Shown): string {
  return `${what} ${look(facts, { ...options, depth: 1, compact: true, breakLength: Infinity })}`;
}
