/** What commands share that call one function: a sandbox, arguments and a result. */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Command } from "commander";
import { messageOf } from "../internal/foreign.js";
import { invalid } from "../internal/options/checks.js";
import { DEFAULTS } from "../options.js";
import { Sandbox } from "../sandbox.js";
import type { SandboxOptions } from "../sandbox-options.js";
import { fromJson, toJson } from "../values/json.js";
import { parseSchema } from "../values/schema.js";
import type { Shape } from "../values/shape.js";
import { addGuestOptions, type GuestFlags, guestOptions } from "./options.js";

/** Options of a command that calls one function. */
export interface CallFlags extends GuestFlags {
  readonly hostFunctions?: string;
  readonly json?: boolean;
}

/** Adds what a command takes that calls one function. */
export function addCallArguments(command: Command): Command {
  command
    .argument("<guest>", "a guest built with the guest SDK")
    .argument("<function>", "name of the function")
    .argument("[args...]", "arguments as JSON; a string parameter also takes plain text")
    .option("--host-functions <module>", "ES module whose exports are the host functions");
  return addGuestOptions(command);
}

/** How arguments are written, for `--help`. */
export const ARGUMENTS_HELP =
  "64-bit integers are numbers or strings of digits, and strings in results; bytes are base64 strings.";

/** A sandbox whose functions are called by name, with arguments from a command line. */
export interface Callee extends AsyncDisposable {
  readonly sandbox: Sandbox;
  /** What it took to make the sandbox. */
  readonly createMs: number;
  /** Calls `name` with `args` as JSON or, where a string is due, plain text. */
  call(name: string, args: readonly string[]): Promise<{ result: unknown; callMs: number }>;
}

/**
 * Makes the sandbox that the options describe, beside the options `more`. What the guest prints goes to
 * stderr, since the result has stdout for itself.
 */
export async function createCallee(
  path: string,
  flags: CallFlags,
  more: Pick<SandboxOptions, "trace"> = {},
): Promise<Callee> {
  const begin = performance.now();
  const sandbox = await Sandbox.create({
    guest: path,
    hostFunctions: await importFunctions(flags.hostFunctions),
    ...guestOptions(flags, DEFAULTS),
    ...more,
  });
  return {
    sandbox,
    createMs: performance.now() - begin,
    call: async (name, args) => {
      const values = readArguments(sandbox, name, args);
      const called = performance.now();
      const result = await sandbox.invoke(name, ...values);
      return { result, callMs: performance.now() - called };
    },
    [Symbol.asyncDispose]: () => sandbox.close(),
  };
}

function readArguments(sandbox: Sandbox, name: string, args: readonly string[]): unknown[] {
  const declared = sandbox.interface.exports.find((each) => each.name === name);
  return args.map((text, index) => {
    const schema = declared?.parameters[index]?.schema;
    return schema === undefined ? text : readArgument(text, parseSchema(schema));
  });
}

function readArgument(text: string, shape: Shape): unknown {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return fromJson(shape, text);
  }
  const value = fromJson(shape, json);
  // A number, or what looks like one, is plain text where a string is due.
  if (shape.kind === "string" && typeof value !== "string") return text;
  if (shape.kind === "integer" && shape.big && typeof value === "number" && /^-?\d+$/.test(text)) {
    return BigInt(text);
  }
  return value;
}

/** What a function returned, as JSON. */
export function resultText(result: unknown): string {
  return result === undefined ? "null" : toJson(result);
}

/** The functions that an ES module exports. */
export async function importFunctions(module: string | undefined): Promise<Record<string, never>> {
  if (module === undefined) return {};
  try {
    const exported = (await import(pathToFileURL(resolve(module)).href)) as Record<string, never>;
    return Object.fromEntries(
      Object.entries(exported).filter(([, value]) => typeof value === "function"),
    );
  } catch (cause) {
    throw invalid("--host-functions", `cannot be loaded: ${messageOf(cause)}`, cause);
  }
}
