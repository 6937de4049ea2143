/** `ampoule trace`: one call, and what is recorded of it. */
import { writeFile } from "node:fs/promises";
import { basename } from "node:path";
import type { Command } from "commander";
import { invalid } from "../../internal/options/checks.js";
import { resolveTrace } from "../../internal/telemetry/directives.js";
import { useSpanSource } from "../../internal/telemetry/spans.js";
import {
  ARGUMENTS_HELP,
  addCallArguments,
  type Callee,
  type CallFlags,
  createCallee,
  resultText,
} from "../callee.js";
import { errorExitCode } from "../exit-codes.js";
import { notes } from "../help.js";
import { plainError, print, printError, printJson } from "../output.js";
import { columnsOf, harmless, painter } from "../terminal.js";
import { chromeTrace } from "../trace/chrome.js";
import { remoteParent } from "../trace/environment.js";
import { plainSpans } from "../trace/json.js";
import { openExport } from "../trace/otlp.js";
import { Recorder } from "../trace/recorder.js";
import type { RecordedSpan } from "../trace/recording.js";
import { summary } from "../trace/summary.js";
import { waterfall } from "../trace/waterfall.js";

type TraceFlags = CallFlags & {
  readonly trace: string;
  readonly chrome?: string;
  readonly otlp?: string;
};

/** As everywhere. Libraries in a guest may have thousands of records more to tell of one call. */
const DEFAULT_DIRECTIVES = "info";

export function addTrace(program: Command): void {
  const command = program
    .command("trace")
    .description("call one function of a guest and show its spans and events");
  addCallArguments(command)
    .option(
      "--trace <directives>",
      "what the guest records, such as info or warn,my_crate=debug",
      DEFAULT_DIRECTIVES,
    )
    .option("--chrome <file>", "also write the trace for Perfetto and chrome://tracing")
    .option("--otlp <url>", "also send the trace to an OTLP/HTTP endpoint")
    .option("--json", "report result, spans, times and statistics as JSON")
    .addHelpText(
      "after",
      notes(`
${ARGUMENTS_HELP}
Directives are LEVEL or TARGET=LEVEL, separated by commas; levels are off, error, warn, info, debug and trace.

Examples:
  ampoule trace ./greeter greet Ada
  ampoule trace --otlp http://localhost:4318 ./greeter greet Ada`),
    )
    .action(trace);
}

/** How a call went. */
type Outcome =
  | { readonly ok: true; readonly result: unknown; readonly callMs: number }
  | { readonly ok: false; readonly error: unknown };

async function trace(path: string, name: string, args: string[], flags: TraceFlags): Promise<void> {
  const directives = resolveTrace(flags.trace, "--trace") ?? DEFAULT_DIRECTIVES;
  // What can be wrong with it is said before anything runs.
  const otlp = flags.otlp === undefined ? undefined : await openExport(flags.otlp);
  await using callee = await createCallee(path, flags, { trace: directives });
  const { outcome, spans } = await record(callee, name, args);
  // Without a span the call has not begun: its arguments are wrong, for example.
  if (!outcome.ok && spans.length === 0) throw outcome.error;
  if (flags.json) printJson(report(callee, outcome, spans));
  else printTrace(outcome, spans, flags.trace);
  const errors = outcome.ok ? [] : [outcome.error];
  const keep = async (work: Promise<void> | undefined): Promise<void> => {
    try {
      await work;
    } catch (error) {
      errors.push(error);
    }
  };
  const guest = flags.name ?? basename(path);
  if (flags.chrome !== undefined) await keep(writeChrome(flags.chrome, spans, guest));
  await keep(otlp?.send(spans));
  for (const error of errors) printError(error, flags.json ?? false);
  // Of several errors the call's is the one that tells.
  if (errors.length > 0) process.exitCode = errorExitCode(errors[0]);
}

/** Calls, and collects the spans meanwhile. An interrupt stops the call and leaves its spans. */
async function record(
  { sandbox, call }: Callee,
  name: string,
  args: readonly string[],
): Promise<{ outcome: Outcome; spans: RecordedSpan[] }> {
  const recorder = new Recorder(remoteParent(process.env));
  const interrupt = (): void => sandbox.kill();
  process.once("SIGINT", interrupt);
  useSpanSource(recorder);
  let outcome: Outcome;
  try {
    outcome = { ok: true, ...(await call(name, args)) };
  } catch (error) {
    outcome = { ok: false, error };
  } finally {
    useSpanSource(undefined);
    process.off("SIGINT", interrupt);
  }
  return { outcome, spans: recorder.spans };
}

function report({ createMs, sandbox }: Callee, outcome: Outcome, spans: RecordedSpan[]): object {
  const ending = outcome.ok
    ? { result: outcome.result, error: null, callMs: outcome.callMs }
    : { result: null, error: plainError(outcome.error), callMs: null };
  const { statistics } = sandbox;
  return { ...ending, createMs, statistics, spans: plainSpans(spans) };
}

function printTrace(outcome: Outcome, spans: RecordedSpan[], directives: string): void {
  const canvas = { columns: columnsOf(process.stdout), paint: painter(process.stdout) };
  const lines = [...waterfall(spans, canvas), "", ...summary(spans, directives, canvas)];
  if (outcome.ok) lines.push("", `result: ${harmless(resultText(outcome.result))}`);
  print(lines.join("\n"));
}

async function writeChrome(file: string, spans: RecordedSpan[], guest: string): Promise<void> {
  try {
    await writeFile(file, JSON.stringify(chromeTrace(spans, guest)));
  } catch (cause) {
    throw invalid("--chrome", `cannot be written: ${(cause as Error).message}`, cause);
  }
}
