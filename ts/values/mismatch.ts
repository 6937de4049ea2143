import { describe } from "./describe.js";
import { cut } from "./text.js";

const NOT_GIVEN = Symbol("found is a text");

/**
 * A value that is not of the type it must have: what was expected, what is there, and where. Texts are
 * made when they are asked for, since most mismatches only tell that an alternative does not fit.
 */
export class Mismatch {
  readonly #expected: string | (() => string);
  readonly #value: unknown;
  readonly #found: string;
  #path: string[] = [];

  private constructor(expected: string | (() => string), value: unknown, found: string) {
    this.#expected = expected;
    this.#value = value;
    this.#found = found;
  }

  /** `value` is not what is `expected`. */
  static at(expected: string | (() => string), value: unknown): Mismatch {
    return new Mismatch(expected, value, "");
  }

  /** What is there has no value of its own, or words that say more. */
  static of(expected: string | (() => string), found: string): Mismatch {
    return new Mismatch(expected, NOT_GIVEN, found);
  }

  get expected(): string {
    return typeof this.#expected === "string" ? this.#expected : this.#expected();
  }

  get found(): string {
    return this.#value === NOT_GIVEN ? this.#found : describe(this.#value);
  }

  /** Adds the step that leads from the enclosing value to this one: a property's name or an index. */
  at(step: string | number): this {
    this.#path.push(typeof step === "number" ? `[${step}]` : propertyStep(step));
    return this;
  }

  /** Whether it is the value itself that is wrong, rather than something in it. */
  get isOfWhole(): boolean {
    return this.#path.length === 0;
  }

  /** The same at the same place, with other words for what was expected. */
  expecting(expected: () => string): Mismatch {
    const other = new Mismatch(expected, this.#value, this.#found);
    other.#path = this.#path;
    return other;
  }

  /** For example `at .users[3].name must be a string, got number (42)`. */
  toString(): string {
    const where = this.#path.length === 0 ? "" : `at ${this.#path.toReversed().join("")} `;
    return `${where}must be ${this.expected}, got ${this.found}`;
  }
}

/** The step to a property, as one would write it. */
function propertyStep(name: string): string {
  if (name.length <= 60 && /^[A-Za-z_$][\w$]*$/.test(name)) return `.${name}`;
  return `[${JSON.stringify(cut(name))}]`;
}
