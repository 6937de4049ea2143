/**
 * Turns a {@link Shape} into a {@link Codec}. Done once for every parameter and result; what is behind
 * a reference only when a value gets there, so that a guest's types may lead as far as they like.
 */
import { Alternatives } from "./alternatives.js";
import { ANY } from "./any-codec.js";
import { ArrayCodec } from "./array-codec.js";
import type { Codec } from "./codec.js";
import { bytesOf } from "./host-values.js";
import { Mismatch } from "./mismatch.js";
import { type CodedProperty, ObjectCodec } from "./object-codec.js";
import {
  BOOLEAN,
  bigInteger,
  CHARACTER,
  constants,
  NOTHING,
  number,
  STRING,
  smallInteger,
} from "./scalar-codecs.js";
import { type Definition, Kind, kindsOf, type Shape, target, type UnionShape } from "./shape.js";
import { optional, UnionCodec } from "./union-codec.js";

/** Codecs of definitions, which all types of a guest share. */
const compiled = new WeakMap<Definition, Codec>();

/** The codec of `shape`. */
export function compile(shape: Shape): Codec {
  switch (shape.kind) {
    case "any":
      return ANY;
    case "null":
      return NOTHING;
    case "boolean":
      return BOOLEAN;
    case "number":
      return number(shape.single);
    case "bytes":
      return BYTES;
    case "string":
      return shape.character ? CHARACTER : STRING;
    case "integer":
      return shape.big ? bigInteger(shape) : smallInteger(shape);
    case "constants":
      return constants(shape.values);
    case "array": {
      const items = shape.items === null ? null : compile(shape.items);
      return new ArrayCodec(shape.prefix.map(compile), items, shape);
    }
    case "object": {
      const properties = new Map<string, CodedProperty>();
      for (const [name, property] of shape.properties) {
        properties.set(name, { codec: compile(property.shape), required: property.required });
      }
      const additional = shape.additional === null ? null : compile(shape.additional);
      return new ObjectCodec(properties, additional, shape);
    }
    case "union":
      return union(shape);
    case "reference":
      return new Reference(shape);
  }
}

/**
 * Whether it depends on a number's being a float which alternative of a union it is: where one is a
 * `bigint` and another a `number`. Looks at everything behind `shapes` once, without recursion.
 */
export function tellsFloats(shapes: readonly Shape[]): boolean {
  const open: Shape[] = [...shapes];
  const seen = new Set<Definition>();
  for (let shape = open.pop(); shape !== undefined; shape = open.pop()) {
    switch (shape.kind) {
      case "array":
        for (const part of shape.prefix) open.push(part);
        if (shape.items !== null) open.push(shape.items);
        break;
      case "object":
        for (const property of shape.properties.values()) open.push(property.shape);
        if (shape.additional !== null) open.push(shape.additional);
        break;
      case "union":
        if (mixesNumbers(shape)) return true;
        for (const part of shape.alternatives) open.push(part);
        break;
      case "reference":
        if (!seen.has(shape.definition)) open.push(shape.definition.shape);
        seen.add(shape.definition);
    }
  }
  return false;
}

function mixesNumbers({ alternatives }: UnionShape): boolean {
  const found = alternatives.map(target);
  const isBig = (shape: Shape): boolean => shape.kind === "integer" && shape.big;
  // What is behind another union may be either.
  const isOther = (shape: Shape): boolean =>
    !isBig(shape) && shape.kind !== "any" && (kindsOf(shape) & Kind.number) !== 0;
  const unions = found.filter((shape) => shape.kind === "union" && isOther(shape)).length;
  return (found.some(isBig) || unions > 0) && found.some(isOther) && found.length > 1;
}

function union({ alternatives }: UnionShape): Codec {
  const codecs = alternatives.map(compile);
  const isNull = (shape: Shape): boolean => shape.kind === "null";
  if (codecs.length === 2 && alternatives.some(isNull)) {
    return optional(codecs[alternatives.findIndex((part) => !isNull(part))] ?? NOTHING);
  }
  return new UnionCodec(codecs, alternatives, new Alternatives(alternatives));
}

class Reference implements Codec {
  readonly acceptsNull: boolean;
  readonly #definition: Definition;
  #codec: Codec | undefined;

  constructor(shape: Shape & { kind: "reference" }) {
    this.#definition = shape.definition;
    this.acceptsNull = target(shape).kind !== "any" && (kindsOf(shape) & Kind.null) !== 0;
  }

  #resolve(): Codec {
    let codec = this.#codec ?? compiled.get(this.#definition);
    if (codec === undefined) {
      codec = compile(this.#definition.shape);
      compiled.set(this.#definition, codec);
    }
    this.#codec = codec;
    return codec;
  }

  expected(): string {
    return this.#resolve().expected();
  }

  write(value: unknown, writer: Parameters<Codec["write"]>[1]): Mismatch | undefined {
    return this.#resolve().write(value, writer);
  }

  read(value: unknown, reading: Parameters<Codec["read"]>[1]): unknown {
    return this.#resolve().read(value, reading);
  }
}

const SOME_BYTES = "bytes (a Uint8Array, another view, or a buffer)";

const BYTES: Codec = {
  acceptsNull: false,
  expected: () => SOME_BYTES,
  write(value, writer) {
    const bytes = bytesOf(value);
    if (bytes === undefined) return Mismatch.at(SOME_BYTES, value);
    if (bytes instanceof Mismatch) return bytes;
    writer.byteString(bytes);
    return undefined;
  },
  read: (value) => (ArrayBuffer.isView(value) ? value : Mismatch.at("bytes (a Uint8Array)", value)),
};
