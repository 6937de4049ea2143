/** `ampoule doctor`: what this machine offers, what is missing, and how to fix it. */
import type { Command } from "commander";
import { isAmpouleError } from "../../errors.js";
import { probe } from "../../inspect.js";
import { ExitCode } from "../exit-codes.js";
import { print, printJson } from "../output.js";

interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly finding: string;
  readonly remedy: string;
}

export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .description("check whether sandboxes can run on this machine, and say how to fix it")
    .option("--json", "print the report as JSON")
    .action((flags: { json?: boolean }) => {
      const checks = examine();
      const usable = checks.every(({ ok }) => ok);
      if (flags.json) printJson({ usable, checks });
      else print(report(checks, usable));
      process.exitCode = usable ? ExitCode.success : ExitCode.failure;
    });
}

function examine(): Check[] {
  const checks = [platform()];
  let found: ReturnType<typeof probe>;
  try {
    found = probe();
  } catch (error) {
    if (!isAmpouleError(error, "ERR_AMPOULE_NO_BINDING")) throw error;
    checks.push({
      name: "native binding",
      ok: false,
      finding: "cannot be loaded",
      remedy: error.details.remedy,
    });
    return checks;
  }
  checks.push({ name: "native binding", ok: true, finding: "loaded", remedy: "" });
  checks.push({
    name: "hypervisor",
    ok: found.usable,
    finding: found.finding,
    remedy: found.remedy,
  });
  if (found.usable) {
    const features = found.features.filter(({ present }) => present).map(({ name }) => name);
    const list = features.length === 0 ? "the baseline only" : features.join(", ");
    checks.push({ name: "processor features", ok: true, finding: list, remedy: "" });
    checks.push(threads(found.threadChangeMs));
  }
  checks.push({
    name: "processors",
    ok: true,
    finding: `${found.cpus} for this process`,
    remedy: "",
  });
  return checks;
}

/** Of no weight for whether sandboxes run, and of much for how fast. */
function threads(changeMs: number): Check {
  const name = "changing threads";
  if (changeMs === 0) return { name, ok: true, finding: "costs a sandbox nothing", remedy: "" };
  return {
    name,
    ok: true,
    finding: `costs a sandbox some ${changeMs} ms on this kernel`,
    remedy: "use Linux 6.13 or later, or `echo 1 | sudo tee /sys/kernel/rcu_expedited`",
  };
}

function platform(): Check {
  const name = `${process.platform}-${process.arch}`;
  const ok = name === "linux-x64";
  return {
    name: "platform",
    ok,
    finding: `${name}, Node.js ${process.versions.node}`,
    remedy: ok ? "" : "use Linux on x86-64 with glibc",
  };
}

function report(checks: readonly Check[], usable: boolean): string {
  const width = Math.max(...checks.map(({ name }) => name.length));
  const lines = checks.flatMap(({ name, ok, finding, remedy }) => [
    `${ok ? "ok  " : "FAIL"}  ${name.padEnd(width)}  ${finding}`,
    ...(remedy === "" ? [] : [`${" ".repeat(width + 8)}remedy: ${remedy}`]),
  ]);
  const verdict = usable ? "Sandboxes can run here." : "Sandboxes cannot run here.";
  return [...lines, "", verdict].join("\n");
}
