/** Options that several commands share. */
import { type Command, InvalidArgumentError } from "commander";
import type { GuestOptions } from "../options.js";
import { parseSize, type Size } from "../sizes.js";

/** Values of {@link addGuestOptions}. */
export interface GuestFlags {
  readonly memory?: Size;
  readonly timeout?: number;
  readonly cpuTime?: number;
  readonly env?: Record<string, string>;
  readonly file?: Record<string, string>;
  readonly name?: string;
}

/** Adds the options that say in what a guest runs. */
export function addGuestOptions(command: Command): Command {
  return command
    .option("-m, --memory <size>", "memory of the guest, such as 64MiB (default: 256MiB)", size)
    .option("-t, --timeout <ms>", "wall-clock limit in milliseconds", milliseconds)
    .option("--cpu-time <ms>", "limit of the guest's own computing in milliseconds", milliseconds)
    .option("-e, --env <name=value>", "environment variable; repeatable", pair("name=value"))
    .option(
      "-f, --file <guest=host>",
      "read-only file for the guest; repeatable",
      pair("guest=host"),
      {},
    )
    .option("--name <name>", "name of the guest, its argv[0]");
}

/** The API's options for `flags`. */
export function guestOptions(flags: GuestFlags, times: { timeoutMs: number }): GuestOptions {
  const files = Object.entries(flags.file ?? {}).map(([guest, path]) => [guest, { path }] as const);
  return {
    limits: {
      timeoutMs: flags.timeout ?? times.timeoutMs,
      ...(flags.cpuTime === undefined ? {} : { cpuTimeMs: flags.cpuTime }),
    },
    ...(flags.memory === undefined ? {} : { memory: flags.memory }),
    ...(flags.name === undefined ? {} : { name: flags.name }),
    env: flags.env ?? {},
    files: Object.fromEntries(files),
  };
}

function size(text: string): Size {
  const given = /^\d+$/.test(text) ? Number(text) : text;
  const bytes = parseSize(given);
  if (typeof bytes === "string") throw new InvalidArgumentError(`It ${bytes}.`);
  return bytes;
}

function milliseconds(text: string): number {
  const value = Number(text);
  if (!(value > 0)) throw new InvalidArgumentError("It must be a positive number.");
  return value;
}

/** Collects arguments of the form `form`, such as `name=value`, by what stands before the sign. */
export function pair(form: string) {
  return (text: string, previous: Record<string, string> = {}): Record<string, string> => {
    const at = text.indexOf("=");
    if (at <= 0) throw new InvalidArgumentError(`It must have the form ${form}.`);
    return { ...previous, [text.slice(0, at)]: text.slice(at + 1) };
  };
}
