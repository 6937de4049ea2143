/** The option `hostFunctions`: what a guest imports, out of what the user gives. */
import { AmpouleError } from "../../errors.js";
import type { TypedInterface } from "../../interface.js";
import { describeType, invalid, reading } from "../options/checks.js";
import { type HostFunction, Import } from "./imports.js";

/** Warnings that were given, by their text: a pool makes many sandboxes of one mistake. */
const warned = new Set<string>();
const WARNED_MAX = 100;

/** A table of host functions as the user gave it. */
export class HostFunctions {
  readonly #given: Readonly<Record<string, unknown>>;
  readonly #names: readonly string[];

  /** @throws AmpouleError `ERR_AMPOULE_INVALID_ARGUMENT` if something in it is no function. */
  constructor(given: unknown) {
    if (typeof given !== "object" || given === null) {
      throw invalid("hostFunctions", `must be an object, got ${describeType(given)}`);
    }
    this.#given = given as Readonly<Record<string, unknown>>;
    this.#names = reading("hostFunctions", () => Object.keys(given));
    for (const name of this.#names) this.#function(name);
  }

  /** The function `name`, which is one of the table's own; `undefined` if there is none. */
  #function(name: string): HostFunction | undefined {
    return reading(`hostFunctions.${name}`, () => {
      // Not what every object has: a guest may import `toString`.
      if (!Object.hasOwn(this.#given, name)) return undefined;
      const value = this.#given[name];
      if (typeof value === "function") return value as HostFunction;
      throw invalid(`hostFunctions.${name}`, `must be a function, got ${describeType(value)}`);
    });
  }

  /**
   * What a guest with that interface imports, in its order, for the sandbox `sandbox`.
   *
   * @throws AmpouleError `ERR_AMPOULE_MISSING_HOST_FUNCTION`
   */
  bind({ imports }: TypedInterface, sandbox: string): Import[] {
    const missing: string[] = [];
    const bound = imports.flatMap((declared) => {
      const found = this.#function(declared.name);
      if (found !== undefined) return [new Import(declared, found, sandbox)];
      missing.push(declared.name);
      return [];
    });
    this.#warnOfUnused(new Set(imports.map(({ name }) => name)), sandbox);
    if (missing.length === 0) return bound;
    throw new AmpouleError(
      "ERR_AMPOULE_MISSING_HOST_FUNCTION",
      `the guest needs host functions that were not given: ${missing.join(", ")}`,
      { details: { missing } },
    );
  }

  /** A function that nobody calls is most often one whose name is not right. */
  #warnOfUnused(imported: ReadonlySet<string>, sandbox: string): void {
    const unused = this.#names.filter((name) => !imported.has(name));
    if (unused.length === 0) return;
    const list = [...imported].join(", ") || "none";
    const message = `the guest of sandbox ${JSON.stringify(sandbox)} does not import ${unused.join(", ")}; it imports ${list}`;
    if (warned.has(message) || warned.size >= WARNED_MAX) return;
    warned.add(message);
    process.emitWarning(message, { type: "AmpouleWarning", code: "AMPOULE_UNUSED_HOST_FUNCTION" });
  }
}
