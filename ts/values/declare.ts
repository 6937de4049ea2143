/** Writes a {@link Shape} as a TypeScript type. Every name is the guest's: quoted unless plain. */
import type { ArrayShape, Definition, ObjectShape, Property, Shape } from "./shape.js";

/**
 * Which way a value goes. What is received is exact; what is given may also be something that is
 * taken for it, such as a `Map` for an object.
 */
export type Direction = "given" | "received";

/** Names that a type expression uses for itself. */
const RESERVED =
  "Array ArrayBuffer ArrayBufferLike ArrayBufferView ReadonlyMap ReadonlySet Record Uint8Array".split(
    " ",
  );

/** A named type on its way in one direction, and the group of those that are declared as one. */
interface Node {
  readonly definition: Definition;
  readonly direction: Direction;
  readonly base: string;
  group: number;
}

/** Rounds of telling types of one name apart, after which all of them are taken for different. */
const ROUNDS_MAX = 12;

/**
 * Collects the named types that a declaration file needs. Each function has `$defs` of its own: types
 * of the same name that look the same, all the way down, are one declaration. First {@link add} every
 * type, then {@link name} them, then ask.
 */
export class Declarations {
  readonly #nodes = new Map<Definition, Partial<Record<Direction, Node>>>();
  readonly #order: Node[] = [];
  readonly #taken: Set<string>;
  #names: readonly string[] = [];

  /** `reserved`: names the file uses for itself. */
  constructor(reserved: readonly string[] = []) {
    this.#taken = new Set([...reserved, ...RESERVED]);
  }

  /** Takes in a type and the named types in it. Does not recurse from one to the next. */
  add(shape: Shape, direction: Direction): void {
    const from = this.#order.length;
    const meet = (definition: Definition): string => {
      this.#node(definition, direction);
      return "";
    };
    print(shape, direction, meet);
    for (let index = from; index < this.#order.length; index++) {
      print((this.#order[index] as Node).definition.shape, direction, meet);
    }
  }

  #node(definition: Definition, direction: Direction): Node {
    const known = this.#nodes.get(definition) ?? {};
    this.#nodes.set(definition, known);
    let node = known[direction];
    if (node === undefined) {
      node = { definition, direction, base: identifier(definition.name), group: 0 };
      known[direction] = node;
      this.#order.push(node);
    }
    return node;
  }

  /** Decides which types are one and what each is called. Nothing is added afterwards. */
  name(): void {
    // Types are the same until something in them differs: as one tells the states of an automaton
    // apart, so that it does not matter which recursive type is looked at first.
    let count = this.#group((node) => node.base);
    for (let round = 0; ; round++) {
      const isLast = round === ROUNDS_MAX;
      const next = this.#group((node, index) => (isLast ? String(index) : this.#signature(node)));
      if (next === count || isLast) break;
      count = next;
    }
    this.#names = this.#chooseNames();
  }

  /** Puts nodes of one `key` into one group, and returns how many groups there are. */
  #group(key: (node: Node, index: number) => string): number {
    const groups = new Map<string, number>();
    const found = this.#order.map((node, index) => {
      const text = key(node, index);
      const group = groups.get(text) ?? groups.size;
      groups.set(text, group);
      return group;
    });
    for (const [index, node] of this.#order.entries()) node.group = found[index] as number;
    return groups.size;
  }

  #signature(node: Node): string {
    const body = print(
      node.definition.shape,
      node.direction,
      (definition) => `#${this.#node(definition, node.direction).group}`,
    );
    return `${node.group} ${comment(node.definition.documentation)}${body}`;
  }

  #chooseNames(): readonly string[] {
    const received = new Set<number>();
    const bases = new Map<number, string>();
    for (const { group, base, direction } of this.#order) {
      bases.set(group, base);
      if (direction === "received") received.add(group);
    }
    const names: string[] = [];
    const has = new Set([...received].map((group) => bases.get(group) as string));
    for (const pass of [true, false]) {
      for (const [group, base] of bases) {
        if (received.has(group) !== pass) continue;
        // A type that is received as something else is called after that.
        names[group] = this.#free(!pass && has.has(base) ? `${base}Input` : base);
      }
    }
    return names;
  }

  #free(wanted: string): string {
    let name = RESERVED.includes(wanted) ? `${wanted}Type` : wanted;
    for (let number = 2; this.#taken.has(name); number++) name = `${wanted}${number}`;
    this.#taken.add(name);
    return name;
  }

  /** `shape` as a type expression. */
  type(shape: Shape, direction: Direction): string {
    return print(shape, direction, (definition) => this.#nameOf(definition, direction));
  }

  #nameOf(definition: Definition, direction: Direction): string {
    return this.#names[this.#node(definition, direction).group] as string;
  }

  /** The declarations of all named types, in order of their names. */
  texts(): string[] {
    const texts = new Map<string, string>();
    for (const { definition, direction, group } of this.#order) {
      const name = this.#names[group] as string;
      if (texts.has(name)) continue;
      const body = this.type(definition.shape, direction);
      texts.set(name, `${comment(definition.documentation)}export type ${name} = ${body};`);
    }
    return [...texts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text);
  }
}

type NameOf = (definition: Definition) => string;

/** `shape` as a type expression in which `nameOf` names definitions. Recurses as schemas nest. */
function print(shape: Shape, direction: Direction, nameOf: NameOf): string {
  switch (shape.kind) {
    case "any":
      return "unknown";
    case "null":
    case "boolean":
    case "number":
    case "string":
      return shape.kind;
    case "bytes":
      return direction === "received"
        ? "Uint8Array<ArrayBuffer>"
        : "ArrayBufferView | ArrayBufferLike";
    case "integer":
      return shape.big ? "bigint" : "number";
    case "constants":
      return alternatives(shape.values.map((value) => JSON.stringify(value)));
    case "array":
      return printArray(shape, direction, nameOf);
    case "object":
      return printObject(shape, direction, nameOf);
    case "union":
      return alternatives(shape.alternatives.map((part) => print(part, direction, nameOf)));
    case "reference":
      return nameOf(shape.definition);
  }
}

function alternatives(parts: readonly string[]): string {
  return parts.length === 0 ? "never" : [...new Set(parts)].join(" | ");
}

function printArray(shape: ArrayShape, direction: Direction, nameOf: NameOf): string {
  const prefix = shape.prefix.map((part) => print(part, direction, nameOf));
  const items = shape.items === null ? null : print(shape.items, direction, nameOf);
  if (prefix.length > 0 || items === null) {
    return `[${[...prefix, ...(items === null ? [] : [`...(${items})[]`])].join(", ")}]`;
  }
  if (shape.minimum === shape.maximum && shape.minimum <= 32) {
    return `[${Array.from({ length: shape.minimum }, () => items).join(", ")}]`;
  }
  const list = /^[\w$]+$/.test(items) ? `${items}[]` : `Array<${items}>`;
  return shape.unique && direction === "given" ? `${list} | ReadonlySet<${items}>` : list;
}

function printObject(shape: ObjectShape, direction: Direction, nameOf: NameOf): string {
  if (shape.properties.size === 0) {
    if (shape.additional === null) return "Record<string, never>";
    const value = print(shape.additional, direction, nameOf);
    if (direction === "received") return `Record<string, ${value}>`;
    const keys = shape.keys === "any" ? "string" : "number | bigint | string";
    return `Record<string, ${value}> | ReadonlyMap<${keys}, ${value}>`;
  }
  const members = [...shape.properties].map(([name, property]) =>
    printMember(name, property, direction, nameOf),
  );
  if (!shape.open && shape.additional !== null) {
    // TypeScript wants what all properties are of the others, too.
    const types = [...shape.properties.values()].map((property) =>
      print(property.shape, direction, nameOf),
    );
    const absent = [...shape.properties.values()].some(({ required }) => !required);
    const others = print(shape.additional, direction, nameOf);
    const all = alternatives([others, ...types, ...(absent ? ["undefined"] : [])]);
    members.push(`[name: string]: ${all.includes("unknown") ? "unknown" : all};`);
  }
  return members.length === 1 && !members[0]?.includes("\n")
    ? `{ ${members[0]} }`
    : `{\n${members.map((member) => indent(member)).join("\n")}\n}`;
}

function printMember(
  name: string,
  { shape, required, documentation }: Property,
  direction: Direction,
  nameOf: NameOf,
): string {
  const key = `${propertyName(name)}${required ? "" : "?"}`;
  return `${comment(documentation)}${key}: ${print(shape, direction, nameOf)};`;
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
  // A last underscore is how Rust programs keep away from names that mean something already.
  const end = /^[A-Za-z].*_$/.test(text) ? "_" : "";
  return /^[A-Za-z$]/.test(name) ? name + end : `Type${name}`;
}

/** Moves every line of `text` two columns to the right. */
export function indent(text: string): string {
  return text.replaceAll(/^(?=.)/gm, "  ");
}
