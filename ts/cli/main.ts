#!/usr/bin/env node
/** The command line `ampoule`. */
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { COMMANDS } from "./commands.js";
import { ExitCode, errorExitCode, signalExitCode } from "./exit-codes.js";
import { addExitCodes, HELP } from "./help.js";
import { printError } from "./output.js";

const { version } = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
) as { version: string };

const program = new Command("ampoule")
  .description("Run untrusted programs in hypervisor-isolated micro-VMs, or call their functions.")
  .version(version)
  .enablePositionalOptions()
  .showHelpAfterError("(ampoule <command> --help tells more)")
  .configureHelp(HELP)
  .exitOverride();
addExitCodes(program);
for (const add of COMMANDS) add(program);

/** Set when what is to be said can be said nowhere: no other exit code counts then. */
let lost: number | undefined;

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (lost !== undefined) return;
  // Whoever reads has seen enough, such as `head`.
  lost = error.code === "EPIPE" ? signalExitCode("SIGPIPE") : ExitCode.ampoule;
  process.exitCode = lost;
  if (error.code !== "EPIPE") {
    process.stderr.write(`ampoule: stdout cannot be written: ${error.message}\n`);
  }
});
// Without stderr there is nobody to tell.
process.stderr.on("error", () => {});
process.on("exit", () => {
  if (lost !== undefined) process.exitCode = lost;
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
