/**
 * The options of sandboxes, each described once: who takes it, who hands it on, and how it is checked. What
 * is derived from that is in `derived.ts`. Another option stands here, in the types of `ts/options.ts`, and
 * where it is used. In messages they are listed in this order.
 */
import { DEFAULTS, type Limits } from "../../options.js";
import type { CreateOptions } from "../../sandbox-options.js";
import { openInfo } from "../../snapshot.js";
import { ITEMS_MAX } from "../../values/decode.js";
import { checkInput } from "../driver/input.js";
import { checkOutput } from "../driver/outputs.js";
import { HostFunctions } from "../functions/host-functions.js";
import type { NativeLimits } from "../native/native.js";
import { DEFAULT_DIRECTIVES, resolveTrace } from "../telemetry/directives.js";
import { resolveOnLog } from "../telemetry/logs.js";
import { checkSignal, describeType, invalid, readOptions } from "./checks.js";
import { countOrNone, integer, milliseconds, size, sizeOrNone } from "./numbers.js";
import { checkExecutable, checkFiles } from "./sources.js";
import { checkArguments, checkEnvironment, checkName } from "./texts.js";

const PAGE = 4096;
const MEMORY_MIN = 1024 ** 2;
const MEMORY_MAX = 64 * 1024 ** 3;
const MESSAGE_MAX = 256 * 1024 ** 2;
const MESSAGE_MIN = 1024;
const STACK_MIN = 64 * 1024;
const DEPTH_MAX = 64;
const ITEMS_MIN = 16;

/**
 * What an option is a part of: the `image`, which is what a guest can see of its start, so that a snapshot
 * has decided it; the `sandbox`, of which each has its own; or it is the `origin`, a snapshot.
 */
export type Part = "image" | "sandbox" | "origin";

/** Who makes sandboxes that are given again what this one was given. */
export type Heir = "fork" | "pool";

/** One option. */
export interface Descriptor {
  readonly part: Part;
  /** Whether `run` takes it: as it is here, or in a way of its own. */
  readonly run?: "same" | "own";
  readonly heirs: readonly Heir[];
  /** What is made of what was given, or was not. `memory` stands before what depends on it. */
  check(given: unknown, before: { readonly memory?: number }): unknown;
}

const EVERY_HEIR: readonly Heir[] = ["fork", "pool"];

/** All options of `Sandbox.create`. */
export const OPTIONS = {
  guest: { part: "image", heirs: [], check: checkExecutable },
  snapshot: {
    part: "origin",
    heirs: [],
    check: (given: unknown) => openInfo(given, "snapshot"),
  },
  hostFunctions: {
    part: "sandbox",
    heirs: EVERY_HEIR,
    check: (given: unknown = {}) => new HostFunctions(given),
  },
  stdout: {
    part: "sandbox",
    run: "own",
    heirs: EVERY_HEIR,
    check: (given: unknown) => checkOutput(given ?? "print", "stdout"),
  },
  stderr: {
    part: "sandbox",
    run: "own",
    heirs: EVERY_HEIR,
    check: (given: unknown) => checkOutput(given ?? "print", "stderr"),
  },
  // A pool restores anyway, and takes none.
  restore: { part: "sandbox", heirs: ["fork"], check: checkRestore },
  trace: {
    part: "sandbox",
    heirs: EVERY_HEIR,
    check: (given: unknown) =>
      given === undefined ? DEFAULT_DIRECTIVES : resolveTrace(given, "trace"),
  },
  onLog: { part: "sandbox", heirs: EVERY_HEIR, check: resolveOnLog },
  memory: {
    part: "image",
    run: "same",
    heirs: [],
    check: (given: unknown) => size(given ?? DEFAULTS.memory, "memory", MEMORY_MIN, MEMORY_MAX),
  },
  limits: { part: "sandbox", run: "same", heirs: EVERY_HEIR, check: checkLimits },
  args: {
    part: "image",
    run: "same",
    heirs: [],
    check: (given: unknown = []) => checkArguments(given),
  },
  env: {
    part: "image",
    run: "same",
    heirs: [],
    check: (given: unknown = {}) => checkEnvironment(given),
  },
  files: {
    part: "image",
    run: "same",
    heirs: [],
    check: (given: unknown = {}) => checkFiles(given),
  },
  // What one sandbox has read of it, another cannot; a pool takes only what all can.
  stdin: {
    part: "sandbox",
    run: "same",
    heirs: ["pool"],
    check: (given: unknown = null) => checkInput(given),
  },
  name: { part: "sandbox", run: "same", heirs: EVERY_HEIR, check: checkName },
  signal: {
    part: "sandbox",
    run: "same",
    heirs: [],
    check(given: unknown): AbortSignal | undefined {
      checkSignal(given);
      return given;
    },
  },
} as const satisfies Record<keyof CreateOptions, Descriptor>;

export type OptionKey = keyof typeof OPTIONS;

/** Checks the option `restore`: whether every call is followed by a restore. */
function checkRestore(given: unknown): boolean {
  if (given === undefined || given === "never") return false;
  if (given === "after-call") return true;
  throw invalid("restore", `must be "never" or "after-call", got ${describeType(given)}`);
}

/** One limit: an option in `limits`. */
export interface LimitDescriptor {
  readonly part: "image" | "sandbox";
  /** What the native side calls it, if it checks it while the guest runs; infinite: no limit. */
  readonly native?: keyof NativeLimits;
  /** `memory` is that of the guest; infinite where a snapshot has decided it. */
  check(given: unknown, option: string, memory: number): number;
}

/** All limits, in the order in which messages list them. */
export const LIMITS = {
  timeoutMs: {
    part: "sandbox",
    check: (given = DEFAULTS.timeoutMs, option) => milliseconds(given, option),
  },
  cpuTimeMs: {
    part: "sandbox",
    check: (given = DEFAULTS.cpuTimeMs, option) => milliseconds(given, option),
  },
  output: {
    part: "sandbox",
    native: "outputBytes",
    check: (given, option) => sizeOrNone(given ?? DEFAULTS.output, option),
  },
  hostCalls: {
    part: "sandbox",
    native: "hostCalls",
    check: (given, option) => countOrNone(given ?? DEFAULTS.hostCalls, option),
  },
  depth: {
    part: "sandbox",
    native: "valueDepth",
    check: (given, option) => integer(given ?? DEFAULTS.depth, option, 1, DEPTH_MAX),
  },
  items: {
    part: "sandbox",
    native: "valueItems",
    check: (given, option) => integer(given ?? DEFAULTS.items, option, ITEMS_MIN, ITEMS_MAX),
  },
  trace: {
    part: "sandbox",
    native: "traceBytes",
    check: (given, option) => sizeOrNone(given ?? DEFAULTS.trace, option),
  },
  message: {
    part: "image",
    check: (given, option) => size(given ?? DEFAULTS.message, option, MESSAGE_MIN, MESSAGE_MAX),
  },
  stack: {
    part: "image",
    check(given, option, memory) {
      const most = Math.floor(memory / 4 / PAGE) * PAGE;
      return size(given ?? Math.min(DEFAULTS.stack, most), option, STACK_MIN, memory);
    },
  },
} as const satisfies Record<keyof Limits, LimitDescriptor>;

export type LimitKey = keyof typeof LIMITS;

/** Every limit, checked. */
export type CheckedLimits = Readonly<Record<LimitKey, number>>;

const LIMIT_KEYS = Object.keys(LIMITS) as LimitKey[];

/** From there on, the default of no limit depends on the memory. */
const USUAL_MEMORY = 4 * DEFAULTS.stack;
let defaultLimits: CheckedLimits | undefined;

/** Checks the option `limits`. */
function checkLimits(
  given: unknown,
  { memory = Number.POSITIVE_INFINITY }: { readonly memory?: number },
): CheckedLimits {
  // Behind an entry into a virtual machine, code like this is cold: most sandboxes need none of it.
  const isUsual = given === undefined && memory >= USUAL_MEMORY;
  if (isUsual && defaultLimits !== undefined) return defaultLimits;
  const limits = readOptions(
    (given === undefined ? {} : given) as Partial<Record<LimitKey, unknown>>,
    "limits",
    LIMIT_KEYS,
  );
  const checked: Partial<Record<LimitKey, number>> = {};
  for (const key of LIMIT_KEYS) {
    checked[key] = LIMITS[key].check(limits[key], `limits.${key}`, memory);
  }
  const complete = Object.freeze(checked) as CheckedLimits;
  if (isUsual) defaultLimits = complete;
  return complete;
}
