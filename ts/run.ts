import { AmpouleError } from "./errors.js";
import { makeDriver, type Surroundings } from "./internal/driver/create.js";
import {
  attend,
  Capture,
  type OutputName,
  openSink,
  type Sink,
} from "./internal/driver/outputs.js";
import { Printer } from "./internal/driver/print.js";
import { readOptions } from "./internal/options/checks.js";
import { ALL_RUN_KEYS, check, type Given, RUN_KEYS } from "./internal/options/derived.js";
import { OPTIONS } from "./internal/options/descriptors.js";
import { load } from "./internal/options/sources.js";
import { nameOfGuest } from "./internal/options/texts.js";
import { unlessAborted } from "./internal/signals.js";
import { recordedRun } from "./internal/telemetry/runs.js";
import { UNTRACED } from "./internal/telemetry/sandbox.js";
import type { ExecutableSource, GuestOptions, OutputOption } from "./options.js";
import { type SandboxStatistics, statisticsOf } from "./statistics.js";

/** Options of {@link run}. `limits.timeoutMs` and `limits.cpuTimeMs` bound the whole run. */
export interface RunOptions extends GuestOptions {
  /** `"capture"` collects the output for the result. @defaultValue "capture" */
  readonly stdout?: OutputOption | "capture";
  /** `"capture"` collects the output for the result. @defaultValue "capture" */
  readonly stderr?: OutputOption | "capture";
}

/** How a program ended, and what it wrote. */
export class RunResult {
  /** The program's exit code; `null` when a signal ended it. */
  readonly exitCode: number | null;
  /** Name of the signal that ended the program, such as `"SIGABRT"`; `null` when it exited. */
  readonly signal: string | null;
  /** What it wrote to stdout; empty unless captured. */
  readonly stdout: Uint8Array<ArrayBuffer>;
  /** What it wrote to stderr; empty unless captured. */
  readonly stderr: Uint8Array<ArrayBuffer>;
  readonly statistics: SandboxStatistics;

  /** @internal Made by {@link run}. */
  constructor(
    { exitCode, signal }: Pick<RunResult, "exitCode" | "signal">,
    { stdout, stderr }: Pick<RunResult, "stdout" | "stderr">,
    statistics: SandboxStatistics,
  ) {
    this.exitCode = exitCode;
    this.signal = signal;
    this.stdout = stdout;
    this.stderr = stderr;
    this.statistics = statistics;
  }

  /** {@link stdout} as UTF-8; what is none is U+FFFD. Decoded at each look. */
  get text(): string {
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.stdout);
  }

  /** {@link stderr} as UTF-8, as {@link text}. */
  get errorText(): string {
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.stderr);
  }
}

/**
 * Runs a static x86-64 Linux program from start to end in a micro-VM of its own: arguments, input
 * and files go in, output and exit code come out. The program needs no SDK and reaches nothing else.
 *
 * A program that exits with a code other than 0, or by a signal, is a result and not an error.
 *
 * @throws AmpouleError `ERR_AMPOULE_NO_HYPERVISOR`, `ERR_AMPOULE_INVALID_GUEST`,
 * `ERR_AMPOULE_INVALID_ARGUMENT`, `ERR_AMPOULE_GUEST_FAULT`, `ERR_AMPOULE_ABORTED` and the limits.
 */
export async function run(
  executable: ExecutableSource,
  given: RunOptions = {},
): Promise<RunResult> {
  const options = readOptions<Given>(given, "options", ALL_RUN_KEYS);
  const attended = [attend(options.stdout, "stdout"), attend(options.stderr, "stderr")];
  let failure: AmpouleError | undefined;
  let result: RunResult;
  try {
    result = await runAttended(executable, options);
  } finally {
    for (const end of attended) failure = end() ?? failure;
  }
  // A stream that failed behind the last write has lost output of a run that went well.
  if (failure !== undefined) throw failure;
  return result;
}

async function runAttended(executable: ExecutableSource, options: Given): Promise<RunResult> {
  const name = OPTIONS.name.check(options.name) ?? nameOfGuest(executable);
  const printer = new Printer(name);
  printer.release();
  const captures = { stdout: new Capture(), stderr: new Capture() };
  const sink = (output: OutputName): Sink => {
    const given = options[output] ?? "capture";
    if (given === "capture") return captures[output].sink;
    return openSink(OPTIONS[output].check(given), output, printer.sink());
  };
  const surroundings = {
    stdout: sink("stdout"),
    stderr: sink("stderr"),
    restoresAfterCalls: false,
    telemetry: UNTRACED,
  };
  return recordedRun(name, () => runGuest(executable, options, name, surroundings, captures));
}

async function runGuest(
  executable: ExecutableSource,
  options: Given,
  name: string,
  surroundings: Surroundings,
  captures: { readonly stdout: Capture; readonly stderr: Capture },
): Promise<RunResult> {
  const checked = check(options, RUN_KEYS);
  const { limits, files, signal } = checked;
  const guest = OPTIONS.guest.check(executable);
  const loaded = await unlessAborted(load(guest, files, signal), signal, "run");
  const driver = makeDriver(name, checked, loaded, false, surroundings);
  try {
    const ending = await driver.start({
      what: `program ${JSON.stringify(name)}`,
      times: { timeoutMs: limits.timeoutMs, cpuTimeMs: limits.cpuTimeMs },
      signal,
      finish: (ending) => {
        if (ending.kind === "exited") {
          const { code, signal } = ending;
          return { exitCode: signal === null ? code : null, signal };
        }
        const message = "a program without a channel claims to serve calls";
        throw new AmpouleError("ERR_AMPOULE_PROTOCOL", message);
      },
    });
    const output = { stdout: captures.stdout.bytes(), stderr: captures.stderr.bytes() };
    return new RunResult(ending, output, statisticsOf(driver.statistics()));
  } finally {
    await driver.close();
  }
}
