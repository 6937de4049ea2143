/**
 * What a message may cost beyond reading or writing each of its items once: trying alternatives of
 * types that cannot be told apart from outside. In proportion to what is sent, so that no declaration
 * of a guest's makes a short message expensive.
 */
const STEPS_MIN = 20_000;
const STEPS_PER_ITEM = 8;

/** Steps that `items` items may take. */
export function stepsFor(items: number): number {
  return STEPS_MIN + STEPS_PER_ITEM * items;
}
