/** The named parts of a value of the user's, each read once. */
import { keyOf } from "./host-values.js";
import { Mismatch } from "./mismatch.js";
import { refuseHalves } from "./scalar-codecs.js";

/** Names and what they name, in order; what is `undefined` is not there, unless `keeps` says so. */
export class Entries {
  readonly names: string[] = [];
  readonly items: unknown[] = [];
  readonly #keeps: (name: string) => boolean;

  constructor(keeps: (name: string) => boolean = () => false) {
    this.#keeps = keeps;
  }

  add(name: string, item: unknown): void {
    if (item === undefined && !this.#keeps(name)) return;
    this.names.push(name);
    this.items.push(item);
  }

  /** Adds the parts of a plain object or a `Map`; says what cannot be a name. */
  take(value: object, form: "plain" | "map"): Mismatch | undefined {
    if (form === "map") return this.#takeMap(value as Map<unknown, unknown>);
    for (const name of Object.keys(value)) {
      const problem = refuseHalves(name);
      if (problem !== undefined) return problem.at(name);
      this.add(name, (value as Record<string, unknown>)[name]);
    }
    return undefined;
  }

  #takeMap(map: ReadonlyMap<unknown, unknown>): Mismatch | undefined {
    for (const [key, item] of map) {
      const name = keyOf(key);
      if (name instanceof Mismatch) return name;
      const problem = refuseHalves(name);
      if (problem !== undefined) return problem.at(name);
      // 1 and "1" are two keys of a `Map` and one name.
      if (typeof key !== "string" && map.has(name)) {
        return Mismatch.of("a Map whose keys differ as texts", `${JSON.stringify(name)} twice`);
      }
      this.add(name, item);
    }
    return undefined;
  }
}
