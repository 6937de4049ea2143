/** `ampoule inspect`: what is in an executable, and what a guest exports and imports. */
import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { inspectExecutable } from "../../inspect.js";
import type { FunctionDescription, GuestInterface } from "../../interface.js";
import { messageOf } from "../../internal/foreign.js";
import { invalid } from "../../internal/options/checks.js";
import { Signatures } from "../../types.js";
import { describe } from "../interfaces.js";
import { printJson, printText } from "../output.js";

export function addInspect(program: Command): void {
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

async function load(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw invalid("guest", `cannot be read: ${messageOf(cause)}`, cause);
  }
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
