/** What a guest says about itself: the functions it exports and the host functions it imports. */
import { parseSchema } from "./values/schema.js";
import { SchemaBudget, SchemaError } from "./values/schema-limits.js";
import type { Shape } from "./values/shape.js";

/** A type, as JSON Schema 2020-12 with Ampoule's formats; see `docs/guest-abi.md`. */
export type JsonSchema = boolean | { readonly [keyword: string]: unknown };

/** One parameter of a function. */
export interface ParameterDescription {
  readonly name: string;
  readonly schema: JsonSchema;
}

/** One function, as the guest declares it. */
export interface FunctionDescription {
  readonly name: string;
  /** The function's doc comment. */
  readonly documentation: string | null;
  readonly parameters: readonly ParameterDescription[];
  /** Type of the result. */
  readonly result: JsonSchema;
}

/** A guest's interface. */
export interface GuestInterface {
  /** Version of the guest ABI, `major.minor`. */
  readonly abiVersion: string;
  /** Name of the SDK the guest was built with. */
  readonly sdk: string;
  readonly sdkVersion: string;
  /** Identifies the build of the guest; empty if it has none. */
  readonly buildId: string;
  /** Functions that can be called. */
  readonly exports: readonly FunctionDescription[];
  /** Host functions the guest needs. */
  readonly imports: readonly FunctionDescription[];
}

/** A function with its types parsed. */
export interface TypedFunction extends FunctionDescription {
  readonly parameters: readonly (ParameterDescription & { readonly shape: Shape })[];
  readonly resultShape: Shape;
}

/** An interface with its types parsed. */
export interface TypedInterface extends GuestInterface {
  readonly exports: readonly TypedFunction[];
  readonly imports: readonly TypedFunction[];
}

/**
 * Reads the JSON that the native side makes of a guest's interface. Structure and names have been
 * checked there; the schemas are checked here.
 *
 * @throws SchemaError whose message says which schema cannot be used.
 */
export function parseInterface(json: string): TypedInterface {
  const { abiVersion, ...raw } = JSON.parse(json) as Omit<GuestInterface, "abiVersion"> & {
    readonly abiVersion: number;
  };
  return withShapes({ ...raw, abiVersion: `${abiVersion >>> 16}.${abiVersion & 0xffff}` });
}

/**
 * Parses the schemas of an interface, all of them within one budget.
 *
 * @throws SchemaError whose message says which schema cannot be used.
 */
export function withShapes(from: GuestInterface): TypedInterface {
  const budget = new SchemaBudget();
  const typed = (list: readonly FunctionDescription[]): TypedFunction[] =>
    list.map(({ name, documentation, parameters, result }) => ({
      name,
      documentation: documentation ?? null,
      parameters: parameters.map((parameter) => ({
        ...parameter,
        shape: parse(
          parameter.schema,
          `${name}, parameter ${JSON.stringify(parameter.name)}`,
          budget,
        ),
      })),
      result,
      resultShape: parse(result, `${name}, result`, budget),
    }));
  return { ...from, exports: typed(from.exports), imports: typed(from.imports) };
}

/** Leaves the parsed shapes out: the interface as users see it. */
export function publicInterface(from: TypedInterface): GuestInterface {
  const plain = (list: readonly TypedFunction[]): FunctionDescription[] =>
    list.map(({ name, documentation, parameters, result }) => ({
      name,
      documentation,
      parameters: parameters.map(({ name, schema }) => ({ name, schema })),
      result,
    }));
  return deepFreeze({ ...from, exports: plain(from.exports), imports: plain(from.imports) });
}

function parse(schema: JsonSchema, where: string, budget: SchemaBudget): Shape {
  try {
    return parseSchema(schema, budget);
  } catch (error) {
    if (error instanceof SchemaError) throw new SchemaError(`${where}: the type ${error.message}`);
    throw error;
  }
}

/** Freezes plain data, which nests no deeper than the native side's JSON parser goes. */
function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const inner of Object.values(value)) deepFreeze(inner);
  }
  return value;
}
