#!/usr/bin/env node
/** The command line `ampoule`. */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { addCall } from "./call.js";
import { addDoctor } from "./doctor.js";
import { EXIT_CODES_HELP, ExitCode, errorExitCode, signalExitCode } from "./exit-codes.js";
import { addGuestCommands } from "./guests.js";
import { addNew } from "./new.js";
import { printError } from "./output.js";
import { addRun } from "./run.js";
import { addSnapshot } from "./snapshot.js";
import { addTrace } from "./trace.js";

const { version } = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
) as { version: string };

const program = new Command("ampoule")
  .description("Run untrusted programs in hypervisor-isolated micro-VMs, or call their functions.")
  .version(version)
  .enablePositionalOptions()
  .showHelpAfterError("(ampoule <command> --help tells more)")
  .addHelpText("after", EXIT_CODES_HELP)
  .exitOverride();
addDoctor(program);
addGuestCommands(program);
addCall(program);
addTrace(program);
addRun(program);
addSnapshot(program);
addNew(program);

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  // Whoever reads has seen enough, such as `head`.
  process.exitCode = signalExitCode("SIGPIPE");
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? ExitCode.success : ExitCode.usage;
  } else {
    printError(error, process.argv.includes("--json"));
    process.exitCode = errorExitCode(error);
  }
}
