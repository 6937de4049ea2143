/** `ampoule run`: a static Linux program as a filter. */
import type { Command } from "commander";
import { GuestFaultError } from "../errors.js";
import { run } from "../run.js";
import { ExitCode, faultExitCode, signalExitCode } from "./exit-codes.js";
import { addGuestOptions, type GuestFlags, guestOptions } from "./options.js";
import { printError } from "./output.js";

export function addRun(program: Command): void {
  const command = program
    .command("run")
    .description("run a static Linux program in a micro-VM, with stdin, stdout and stderr piped")
    .argument("<program>", "a static x86-64 Linux executable")
    .argument("[args...]", "its arguments; options for ampoule come before the program")
    .passThroughOptions()
    .option("--json", "report errors and, when the program has ended, statistics as JSON on stderr")
    .addHelpText(
      "after",
      `
There is no time limit unless --timeout or --cpu-time sets one.

Example:
  ampoule run /bin/busybox sort -r <names.txt`,
    );
  addGuestOptions(command).action(runProgram);
}

type RunFlags = GuestFlags & { readonly json?: boolean };

async function runProgram(path: string, args: string[], flags: RunFlags): Promise<void> {
  const stop = new AbortController();
  let pipeBroken = false;
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // Whoever reads has gone: the program ends as it would by SIGPIPE.
    pipeBroken = error.code === "EPIPE";
    stop.abort(error);
  });
  process.once("SIGINT", () => stop.abort(new Error("interrupted")));
  try {
    const { exitCode, signal, statistics } = await run(path, {
      ...guestOptions(flags, { timeoutMs: Number.POSITIVE_INFINITY }),
      args,
      stdin: process.stdin,
      stdout: process.stdout,
      stderr: process.stderr,
      limits: {
        ...guestOptions(flags, { timeoutMs: Number.POSITIVE_INFINITY }).limits,
        output: Number.POSITIVE_INFINITY,
      },
      signal: stop.signal,
    });
    if (flags.json) process.stderr.write(`${JSON.stringify({ exitCode, signal, statistics })}\n`);
    process.exitCode = signal === null ? (exitCode ?? ExitCode.ampoule) : signalExitCode(signal);
  } catch (error) {
    if (pipeBroken) {
      process.exitCode = signalExitCode("SIGPIPE");
      return;
    }
    if (!(error instanceof GuestFaultError)) throw error;
    printError(error, flags.json ?? false);
    process.exitCode = faultExitCode(error);
  } finally {
    // An open stdin would keep the process waiting for input that nobody reads.
    process.stdin.destroy();
  }
}
