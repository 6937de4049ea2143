/** `ampoule types`: TypeScript declarations of a guest's functions. */
import { writeFile } from "node:fs/promises";
import { basename } from "node:path";
import type { Command } from "commander";
import { AmpouleError } from "../../errors.js";
import { messageOf } from "../../internal/foreign.js";
import { invalid } from "../../internal/options/checks.js";
import { declareGuest } from "../../types.js";
import { describe } from "../interfaces.js";
import { printJson, printText } from "../output.js";

export function addTypes(program: Command): void {
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

function plainProgram(path: string): AmpouleError {
  const message = `${path} ended instead of serving calls: is it built with the guest SDK?`;
  return new AmpouleError("ERR_AMPOULE_INVALID_GUEST", message);
}
