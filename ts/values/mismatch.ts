/** A value that is not of the type it must have: what was expected, what is there, and where. */
export class Mismatch {
  readonly expected: string;
  readonly found: string;
  #path = "";

  constructor(expected: string, found: string) {
    this.expected = expected;
    this.found = found;
  }

  /** Adds the step that leads from the enclosing value to this one, such as `.name` or `[3]`. */
  at(step: string): this {
    this.#path = step + this.#path;
    return this;
  }

  /** Steps from the outermost value, such as `.users[3].name`; empty for the value itself. */
  get path(): string {
    return this.#path;
  }

  /** For example `at .users[3].name must be a string, got number (42)`. */
  toString(): string {
    const where = this.#path === "" ? "" : `at ${this.#path} `;
    return `${where}must be ${this.expected}, got ${this.found}`;
  }
}

/** The step to a property, as one would write it. */
export function propertyStep(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
}
