/** `ampoule run`: a static Linux program as a filter. */
import type { WriteStream } from "node:tty";
import type { Command } from "commander";
import { GuestFaultError } from "../../errors.js";
import { peek } from "../../internal/foreign.js";
import { run } from "../../run.js";
import { ExitCode, faultExitCode, signalExitCode } from "../exit-codes.js";
import { notes } from "../help.js";
import { addGuestOptions, type GuestFlags, guestOptions } from "../options.js";
import { printError } from "../output.js";
import { harmless } from "../terminal.js";

export function addRun(program: Command): void {
  const command = program
    .command("run")
    .description("run a static Linux program in a micro-VM, with stdin, stdout and stderr piped")
    .argument("<program>", "a static x86-64 Linux executable")
    .argument("[args...]", "its arguments; options for ampoule come before the program")
    .passThroughOptions()
    .option("--raw", "let the program control the terminal; elsewhere its output is never changed")
    .option("--json", "report errors and, when the program has ended, statistics as JSON on stderr")
    .addHelpText(
      "after",
      notes(`
There is no time limit unless --timeout or --cpu-time sets one.

Example:
  printf '3\\n1\\n2\\n' | ampoule run /bin/busybox sort`),
    );
  addGuestOptions(command).action(runProgram);
}

type RunFlags = GuestFlags & { readonly json?: boolean; readonly raw?: boolean };

/** What ends the run from outside. */
type Interruption = "SIGINT" | "SIGPIPE" | "output";

async function runProgram(path: string, args: string[], flags: RunFlags): Promise<void> {
  const stop = new AbortController();
  let interruption: Interruption | undefined;
  const interrupt = (by: Interruption, error?: unknown): void => {
    interruption ??= by;
    stop.abort(error);
  };
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // Whoever reads has gone: the program ends as it would by SIGPIPE.
    interrupt(error.code === "EPIPE" ? "SIGPIPE" : "output", error);
  });
  process.once("SIGINT", () => interrupt("SIGINT"));
  const { limits, ...options } = guestOptions(flags, { timeoutMs: Number.POSITIVE_INFINITY });
  try {
    const { exitCode, signal, statistics } = await run(path, {
      ...options,
      args,
      stdin: process.stdin,
      stdout: outputTo(process.stdout, flags.raw),
      stderr: outputTo(process.stderr, flags.raw),
      limits: { ...limits, output: Number.POSITIVE_INFINITY },
      signal: stop.signal,
    });
    if (flags.json) process.stderr.write(`${JSON.stringify({ exitCode, signal, statistics })}\n`);
    process.exitCode = signal === null ? (exitCode ?? ExitCode.ampoule) : signalExitCode(signal);
  } catch (error) {
    if (interruption === "SIGINT" || isPipeBroken(interruption, error)) {
      process.exitCode = signalExitCode(interruption === "SIGINT" ? "SIGINT" : "SIGPIPE");
      return;
    }
    // That stdout failed has been said.
    if (interruption === "output") return;
    if (!(error instanceof GuestFaultError)) throw error;
    printError(error, flags.json ?? false);
    process.exitCode = faultExitCode(error);
  } finally {
    // An open stdin would keep the process waiting for input that nobody reads.
    process.stdin.destroy();
  }
}

/** Whether the run has failed because nobody reads its output, which one of two notices first. */
function isPipeBroken(interruption: Interruption | undefined, error: unknown): boolean {
  return interruption === "SIGPIPE" || peek(peek(error, "cause"), "code") === "EPIPE";
}

/** The program's output as it is; on a terminal without what would act on that, unless it may be `raw`. */
function outputTo(
  stream: WriteStream,
  raw = false,
): WriteStream | ((chunk: Uint8Array) => Promise<void>) {
  if (raw || !stream.isTTY) return stream;
  const decoder = new TextDecoder();
  return (chunk) => {
    const text = harmless(decoder.decode(chunk, { stream: true }).replaceAll("\r\n", "\n"));
    return new Promise((resolve, reject) => {
      stream.write(text, (error) => (error ? reject(error) : resolve()));
    });
  };
}
