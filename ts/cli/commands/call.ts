/** `ampoule call`: one function of a guest. */
import type { Command } from "commander";
import {
  ARGUMENTS_HELP,
  addCallArguments,
  type CallFlags,
  createCallee,
  resultText,
} from "../callee.js";
import { notes } from "../help.js";
import { print, printJson } from "../output.js";

export function addCall(program: Command): void {
  const command = program
    .command("call")
    .description("call one function of a guest and print its result as JSON");
  addCallArguments(command)
    .option("--json", "report result, time and statistics as JSON")
    .addHelpText(
      "after",
      notes(`
${ARGUMENTS_HELP}

Example:
  ampoule call ./greeter greet Ada`),
    )
    .action(call);
}

async function call(path: string, name: string, args: string[], flags: CallFlags): Promise<void> {
  await using callee = await createCallee(path, flags);
  const { result, callMs } = await callee.call(name, args);
  if (!flags.json) {
    print(resultText(result));
    return;
  }
  const { createMs, sandbox } = callee;
  printJson({ result, createMs, callMs, statistics: sandbox.statistics });
}
