/** What follows from the descriptions of options: which are known where, what is handed on, and all checks. */
import type { Limits } from "../../options.js";
import { peek } from "../foreign.js";
import type { NativeLimits } from "../native/native.js";
import { invalid } from "./checks.js";
import {
  type CheckedLimits,
  type Descriptor,
  type Heir,
  LIMITS,
  type LimitDescriptor,
  type LimitKey,
  OPTIONS,
  type OptionKey,
  type Part,
} from "./descriptors.js";

/** Options as they were given, read once and not checked. */
export type Given = { readonly [Key in OptionKey]?: unknown };

/** What checks make of options. */
export type Checked<Key extends OptionKey> = {
  readonly [Each in Key]: ReturnType<(typeof OPTIONS)[Each]["check"]>;
};

type KeyOf<Fitting> = {
  [Key in OptionKey]: (typeof OPTIONS)[Key] extends Fitting ? Key : never;
}[OptionKey];

type SandboxLimitKey = {
  [Key in LimitKey]: (typeof LIMITS)[Key]["part"] extends "sandbox" ? Key : never;
}[LimitKey];

export type SandboxKey = KeyOf<{ readonly part: "sandbox" }>;
export type ImageKey = KeyOf<{ readonly part: "image" }>;
export type RunKey = KeyOf<{ readonly run: "same" }>;

const KEYS = Object.keys(OPTIONS) as OptionKey[];
const partOf = (key: OptionKey): Part => OPTIONS[key].part;

/** What `Sandbox.create` takes. */
export const CREATE_KEYS: readonly OptionKey[] = KEYS;
/** What each sandbox has of its own, so that a fork takes it. */
export const SANDBOX_KEYS = KEYS.filter((key) => partOf(key) === "sandbox") as SandboxKey[];
const IMAGE_KEYS = KEYS.filter((key) => partOf(key) === "image") as ImageKey[];
/** What a sandbox that is made from a guest has: all but a snapshot. */
export const GUEST_KEYS = KEYS.filter((key) => partOf(key) !== "origin") as (
  | SandboxKey
  | ImageKey
)[];
/** What `run` takes as `Sandbox.create` does. */
export const RUN_KEYS = KEYS.filter((key) => runOf(key) === "same") as RunKey[];
/** What `run` takes. */
export const ALL_RUN_KEYS = KEYS.filter((key) => runOf(key) !== undefined);

function runOf(key: OptionKey): "same" | "own" | undefined {
  const option: Descriptor = OPTIONS[key];
  return option.run;
}

const LIMIT_KEYS = Object.keys(LIMITS) as LimitKey[];
const isImageLimit = (key: LimitKey): boolean => LIMITS[key].part === "image";
const IMAGE_LIMIT_KEYS = LIMIT_KEYS.filter(isImageLimit);
/** The limits that a fork takes. */
export const SANDBOX_LIMIT_KEYS = LIMIT_KEYS.filter(
  (key) => !isImageLimit(key),
) as SandboxLimitKey[];

/** Checks the options `keys` of `given`, in the order of their descriptions; what is absent has its default. */
export function check<Key extends OptionKey>(given: Given, keys: readonly Key[]): Checked<Key> {
  const checked: Record<string, unknown> = {};
  for (const key of keys) {
    checked[key] = OPTIONS[key].check(given[key], checked as { readonly memory?: number });
  }
  return checked as Checked<Key>;
}

/** Refuses what a snapshot has decided already. */
export function refuseImageOptions(given: Given): void {
  const refuse = (option: string, value: unknown): void => {
    if (value === undefined) return;
    throw invalid(option, "is part of the snapshot and cannot be given with one");
  };
  for (const key of IMAGE_KEYS) refuse(key, given[key]);
  for (const key of IMAGE_LIMIT_KEYS) {
    refuse(`limits.${key}`, peek(given.limits, key));
  }
}

/** What a sandbox hands on to those that are made of it, where their own options do not say otherwise. */
export type Inheritance = Given & { readonly limits: Limits };

const HANDED_ON: Readonly<Record<Heir, readonly OptionKey[]>> = {
  fork: KEYS.filter((key) => heirsOf(key).includes("fork")),
  pool: KEYS.filter((key) => heirsOf(key).includes("pool")),
};

function heirsOf(key: OptionKey): readonly Heir[] {
  return OPTIONS[key].heirs;
}

/** What of `given` is handed on to `heir`. Limits are there, if only none. */
export function handedOn(given: Given, heir: Heir): Inheritance {
  const limits: Record<string, unknown> = {};
  for (const key of SANDBOX_LIMIT_KEYS) {
    const limit = peek(given.limits, key);
    if (limit !== undefined) limits[key] = limit;
  }
  const kept: Record<string, unknown> = {};
  for (const key of HANDED_ON[heir]) {
    if (given[key] !== undefined) kept[key] = given[key];
  }
  return Object.assign(kept, { limits: limits as Limits });
}

const NATIVE_LIMITS = LIMIT_KEYS.flatMap((key) => {
  const { native }: LimitDescriptor = LIMITS[key];
  return native === undefined ? [] : [{ key, native }];
});

/** The limits that the native side checks. */
export function nativeLimits(limits: CheckedLimits): NativeLimits {
  const named: Partial<Record<keyof NativeLimits, number>> = {};
  for (const { key, native } of NATIVE_LIMITS) {
    if (Number.isFinite(limits[key])) named[native] = limits[key];
  }
  return named as NativeLimits;
}
