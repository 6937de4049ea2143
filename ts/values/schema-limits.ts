/** Bounds of what a guest may declare, so that reading it takes time in proportion to its size. */

/** A schema that cannot be used. */
export class SchemaError extends Error {}

/** Levels of schemas inside each other. */
export const NESTING_MAX = 64;
/**
 * References and alternatives that lead to one another with no value between them. Times the depth of
 * a value, it is how deep reading one may recurse.
 */
export const REFERENCES_MAX = 16;
/** Parts of all types of one interface: schemas, properties and constants. */
export const PARTS_MAX = 50_000;
/** Constants of one type. */
export const CONSTANTS_MAX = 20_000;
/** Properties of one type. */
export const PROPERTIES_MAX = 10_000;

/** What the types of one interface may still declare. */
export class SchemaBudget {
  #parts = PARTS_MAX;

  /** Takes `count` parts. */
  take(count: number): void {
    this.#parts -= count;
    if (this.#parts < 0) refuse("parts, counted over the whole interface", PARTS_MAX);
  }

  /** Takes the constants of one type. */
  takeConstants(count: number): void {
    if (count > CONSTANTS_MAX) refuse("constants", CONSTANTS_MAX);
    this.take(count);
  }

  /** Takes the properties of one type. */
  takeProperties(count: number): void {
    if (count > PROPERTIES_MAX) refuse("properties", PROPERTIES_MAX);
    this.take(count);
  }
}

function refuse(what: string, limit: number): never {
  throw new SchemaError(`has more than ${limit} ${what}`);
}

/** The error for references that follow one another too far. */
export function tooManyReferences(): SchemaError {
  return new SchemaError(`follows more than ${REFERENCES_MAX} references in a row`);
}
