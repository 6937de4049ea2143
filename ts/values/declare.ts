/** Writes a {@link Shape} as a TypeScript type. Every name is the guest's: quoted unless plain. */
import type { Definition, Property, Shape } from "./schema.js";

/** Collects the named types that a declaration file needs. */
export class Declarations {
  readonly #names = new Map<string, { name: string; text: string }>();
  readonly #taken: Set<string>;
  readonly #byDefinition = new Map<Definition, string>();

  /** `reserved`: names the file uses for itself. */
  constructor(reserved: readonly string[]) {
    this.#taken = new Set(reserved);
  }

  /** The declarations of all named types met so far, in order of their names. */
  texts(): string[] {
    return [...this.#names.values()]
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map(({ text }) => text);
  }

  /** `shape` as a type expression. */
  type(shape: Shape): string {
    switch (shape.kind) {
      case "any":
        return "unknown";
      case "null":
      case "boolean":
      case "number":
      case "string":
        return shape.kind;
      case "bytes":
        return "Uint8Array";
      case "integer":
        return shape.big ? "bigint" : "number";
      case "constant":
        return JSON.stringify(shape.value);
      case "array":
        return this.#array(shape);
      case "object":
        return this.#object(shape);
      case "union": {
        const parts = [...new Set(shape.alternatives.map((part) => this.type(part)))];
        return parts.length === 0 ? "never" : parts.join(" | ");
      }
      case "reference":
        return this.#reference(shape.definition);
    }
  }

  #array(shape: Shape & { kind: "array" }): string {
    const prefix = shape.prefix.map((part) => this.type(part));
    const items = shape.items === null ? null : this.type(shape.items);
    if (prefix.length > 0 || items === null) {
      return `[${[...prefix, ...(items === null ? [] : [`...(${items})[]`])].join(", ")}]`;
    }
    if (shape.minimum === shape.maximum && shape.minimum <= 32) {
      return `[${Array.from({ length: shape.minimum }, () => items).join(", ")}]`;
    }
    return /^[\w$]+$/.test(items) ? `${items}[]` : `Array<${items}>`;
  }

  #object(shape: Shape & { kind: "object" }): string {
    if (shape.properties.size === 0) {
      return shape.additional === null
        ? "Record<string, never>"
        : `Record<string, ${this.type(shape.additional)}>`;
    }
    const members = [...shape.properties].map(([name, property]) => this.#member(name, property));
    return members.length === 1 && !members[0]?.includes("\n")
      ? `{ ${members[0]} }`
      : `{\n${members.map((member) => indent(member)).join("\n")}\n}`;
  }

  #member(name: string, { shape, required, documentation }: Property): string {
    const key = `${propertyName(name)}${required ? "" : "?"}`;
    return `${comment(documentation)}${key}: ${this.type(shape)};`;
  }

  #reference(definition: Definition): string {
    const known = this.#byDefinition.get(definition);
    if (known !== undefined) return known;
    const base = identifier(definition.name);
    // Each function has its own `$defs`: the same name usually means the same type, and is one
    // declaration then. Compare with the definition's own name standing for recursion.
    this.#byDefinition.set(definition, base);
    const trial = this.type(definition.shape);
    for (let number = 1; ; number++) {
      const name = number === 1 ? base : `${base}${number}`;
      const present = this.#names.get(name);
      const key = `${name}\n${trial}`;
      if (present === undefined && !this.#taken.has(name)) {
        this.#byDefinition.set(definition, name);
        const body = name === base ? trial : this.type(definition.shape);
        const text = `${comment(definition.documentation)}export type ${name} = ${body};`;
        this.#taken.add(name);
        this.#names.set(name, { name: key, text });
        return name;
      }
      if (present?.name === key) {
        this.#byDefinition.set(definition, name);
        return name;
      }
    }
  }
}

/** A doc comment with a line break behind it, or nothing. */
export function comment(text: string | null): string {
  if (text === null) return "";
  // The text is the guest's; it must not be able to end the comment.
  const lines = text.replaceAll("*/", "*\\/").split(/\r\n|[\n\r\u2028\u2029]/);
  return lines.length === 1
    ? `/** ${lines[0]?.trim()} */\n`
    : `/**\n${lines.map((line) => ` * ${line}`.trimEnd()).join("\n")}\n */\n`;
}

/** `name` as a property name: quoted unless it is an identifier. */
export function propertyName(name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name);
}

/** Makes a type name of any text. */
export function identifier(text: string): string {
  const words = text.split(/[^A-Za-z0-9$]+/).filter((word) => word !== "");
  const name = words.map((word) => word[0]?.toUpperCase() + word.slice(1)).join("");
  return /^[A-Za-z$]/.test(name) ? name : `Type${name}`;
}

/** Moves every line of `text` two columns to the right. */
export function indent(text: string): string {
  return text.replaceAll(/^(?=.)/gm, "  ");
}
