/** `ampoule inspect` and `types`: commands that start a guest to learn its interface. */
import { readFile, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import type { Command } from "commander";
import { AmpouleError } from "../errors.js";
import { inspectExecutable } from "../inspect.js";
import type { FunctionDescription, GuestInterface } from "../interface.js";
import { messageOf } from "../internal/foreign.js";
import { invalid } from "../internal/options/checks.js";
import { Sandbox } from "../sandbox.js";
import { declareGuest, Signatures } from "../types.js";
import { printJson, printText } from "./output.js";

export function addGuestCommands(program: Command): void {
  addInspect(program);
  addTypes(program);
}

function addInspect(program: Command): void {
  program
    .command("inspect")
    .description("show what is in an executable and which functions it exports and imports")
    .argument("<guest>", "a static x86-64 Linux executable")
    .option("--json", "print the report as JSON")
    .action(async (path: string, flags: { json?: boolean }) => {
      const executable = inspectExecutable(await load(path));
      const described = await describe(path);
      if (flags.json) {
        printJson({ path, executable, interface: described });
        return;
      }
      const { kind, entry, fileBytes } = executable;
      printText(`${path}: static x86-64 executable, ${kind}, entry ${entry}, ${fileBytes} bytes`);
      printText(described === null ? PLAIN : summary(described));
    });
}

const PLAIN = "It serves no calls: a plain program, for `ampoule run`.";

function addTypes(program: Command): void {
  program
    .command("types")
    .description("write TypeScript declarations of a guest's functions")
    .argument("<guest>", "a guest built with the guest SDK")
    .option("-o, --output <file>", "file to write (default: stdout)")
    .option("--name <name>", "name of the generated interface (default: from the guest's name)")
    .option("--json", "print the declarations, or where they were written, as JSON")
    .action(writeTypes);
}

type TypesFlags = { readonly output?: string; readonly name?: string; readonly json?: boolean };

async function writeTypes(path: string, { output, name, json }: TypesFlags): Promise<void> {
  const described = await describe(path);
  if (described === null) throw plainProgram(path);
  const text = declareGuest(described, { name: name ?? basename(path) });
  if (output !== undefined) await keep(output, text);
  if (json) printJson(output === undefined ? { declarations: text } : { output });
  else if (output === undefined) printText(text);
}

async function keep(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text);
  } catch (cause) {
    throw invalid("--output", `cannot be written: ${messageOf(cause)}`, cause);
  }
}

/** Starts the guest far enough to learn its interface; `null` for a plain program. */
async function describe(path: string): Promise<GuestInterface | null> {
  try {
    await using sandbox = await Sandbox.create({
      guest: path,
      hostFunctions: ABSENT_FUNCTIONS,
      stdout: "ignore",
      stderr: "ignore",
    });
    return sandbox.interface;
  } catch (error) {
    if (error instanceof AmpouleError && error.code === "ERR_AMPOULE_GUEST_EXITED") return null;
    throw error;
  }
}

const STUB = { value: unavailable, configurable: true, enumerable: true, writable: true };

/** Host functions of every name, none of which can be called. */
export const ABSENT_FUNCTIONS: Record<string, never> = new Proxy(
  {},
  { getOwnPropertyDescriptor: () => STUB, get: () => unavailable },
);

function unavailable(): never {
  throw new Error("host functions are not available while a guest is inspected");
}

async function load(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw invalid("guest", `cannot be read: ${messageOf(cause)}`, cause);
  }
}

function plainProgram(path: string): AmpouleError {
  const message = `${path} ended instead of serving calls: is it built with the guest SDK?`;
  return new AmpouleError("ERR_AMPOULE_INVALID_GUEST", message);
}

function summary(from: GuestInterface): string {
  const { exports, imports } = new Signatures(from);
  const section = (
    title: string,
    functions: readonly FunctionDescription[],
    signatures: readonly string[],
  ): string[] => [
    ...(functions.length === 0 ? [] : [`${title}:`]),
    ...functions.map(({ documentation }, index) => {
      // One line for each function, however long its types are.
      const own = (signatures[index] as string).replace(/^\/\*\*[\s\S]*?\*\/\n/, "");
      const line = `  ${own.replaceAll(/\n\s*/g, " ").replace(/;$/, "")}`;
      return documentation === null ? line : `${line}\n      ${documentation.split("\n", 1)[0]}`;
    }),
  ];
  return [
    `Built with ${from.sdk} ${from.sdkVersion}, guest ABI ${from.abiVersion}.`,
    ...section("Functions", from.exports, exports),
    ...section("Host functions it needs", from.imports, imports),
  ].join("\n");
}
