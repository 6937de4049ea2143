/**
 * The life of a sandbox, as far as this side knows it: which states there are, and what each event makes of
 * each. A table and nothing else: it knows no native code, no promise and no clock. Whoever drives the
 * sandbox says what happens, and does what belongs to it.
 *
 * Three things can be going on: nothing; a *run*, which is awaited (a start, a call, a snapshot or a restore);
 * or a *call* on this thread, which is somewhere up the stack. A state is what the sandbox is to its users,
 * together with that, and with what has been decided for the time when it ends.
 */
import type { SandboxState } from "../../state.js";

export const LIFE_EVENTS = [
  /** A start, a call or a snapshot begins, as a run. */
  "begin",
  /** A restore begins, as a run. */
  "beginRestore",
  /** A call begins on this thread. */
  "beginCall",
  /** Somebody kills the sandbox. What is going on ends first, and takes notice. */
  "kill",
  /** Something has made the guest unusable: a fault, a limit, an abort, or a kill that was due. */
  "poison",
  /** A restore has failed. */
  "break",
  /** A restore on this thread has succeeded, with nothing going on. */
  "restored",
  /** How the run ends is settled; what the guest has told of it is still being handed over. */
  "settle",
  /** What was going on is over. A kill that is due poisons before. */
  "leave",
  /** Somebody closes the sandbox. */
  "close",
] as const;

export type LifeEvent = (typeof LIFE_EVENTS)[number];

/** One row: what users see, what is going on, and where events lead. An event that is missing cannot come. */
interface Row {
  readonly shown: SandboxState;
  readonly going: "nothing" | "run" | "call";
  readonly isDoomed?: boolean;
  readonly on: Readonly<Partial<Record<LifeEvent, LifeName>>>;
}

// Wherever it is, a sandbox can be poisoned, break and be closed.
const FREE = { poison: "poisoned", break: "broken", close: "closed" } as const;
const RUN = { poison: "poisonedInRun", break: "brokenInRun", close: "closedInRun" } as const;
const CALL = { poison: "poisonedInCall", break: "brokenInCall", close: "closedInCall" } as const;

/** Closed is closed: nothing changes that, and a kill has nobody to hit. */
const CLOSED = (self: "closed" | "closedInRun" | "closedInCall") =>
  ({ kill: self, poison: self, break: self, close: self }) as const;

type LifeName =
  | "made"
  | "starting"
  | "startKilled"
  | "started"
  | "ready"
  | "running"
  | "runKilled"
  | "runEnded"
  | "runKilledEnded"
  | "restoring"
  | "calling"
  | "callKilled"
  | "poisoned"
  | "poisonedInRun"
  | "poisonedInCall"
  | "broken"
  | "brokenInRun"
  | "brokenInCall"
  | "closed"
  | "closedInRun"
  | "closedInCall";

// Calls may begin in a sandbox that is poisoned, broken or closed: it became so while the call's arguments
// were read, which runs code of the user's. The native side refuses them.
const TABLE: Readonly<Record<LifeName, Row>> = {
  /** Nothing has begun. */
  made: {
    shown: "starting",
    going: "nothing",
    on: { ...FREE, begin: "starting", kill: "poisoned" },
  },
  starting: {
    shown: "starting",
    going: "run",
    on: { ...RUN, kill: "startKilled", settle: "started" },
  },
  /** Whoever awaits the start is told, and closes what nobody else knows of: poisoning it is not needed. */
  startKilled: {
    shown: "starting",
    going: "run",
    on: { ...RUN, kill: "startKilled", settle: "started" },
  },
  started: {
    shown: "starting",
    going: "run",
    on: { ...RUN, kill: "poisonedInRun", leave: "ready" },
  },
  ready: {
    shown: "ready",
    going: "nothing",
    on: {
      ...FREE,
      begin: "running",
      beginRestore: "restoring",
      beginCall: "calling",
      kill: "poisoned",
      restored: "ready",
    },
  },
  running: {
    shown: "running",
    going: "run",
    on: { ...RUN, kill: "runKilled", settle: "runEnded" },
  },
  runKilled: {
    shown: "running",
    going: "run",
    isDoomed: true,
    on: { ...RUN, kill: "runKilled", settle: "runKilledEnded" },
  },
  /** The run is settled: a kill is none of its, and poisons at once. */
  runEnded: {
    shown: "running",
    going: "run",
    on: { ...RUN, kill: "poisonedInRun", leave: "ready" },
  },
  runKilledEnded: {
    shown: "running",
    going: "run",
    isDoomed: true,
    on: { ...RUN, kill: "poisonedInRun" },
  },
  restoring: {
    shown: "running",
    going: "run",
    on: { ...RUN, kill: "runKilled", settle: "runEnded" },
  },
  calling: {
    shown: "running",
    going: "call",
    on: { ...CALL, kill: "callKilled", leave: "ready" },
  },
  /** The kill may have come when the last step was there already. */
  callKilled: {
    shown: "running",
    going: "call",
    isDoomed: true,
    on: { ...CALL, kill: "callKilled" },
  },
  poisoned: {
    shown: "poisoned",
    going: "nothing",
    on: {
      ...FREE,
      begin: "poisonedInRun",
      beginRestore: "restoring",
      beginCall: "poisonedInCall",
      kill: "poisoned",
      restored: "ready",
    },
  },
  poisonedInRun: {
    shown: "poisoned",
    going: "run",
    on: { ...RUN, kill: "poisonedInRun", settle: "poisonedInRun", leave: "poisoned" },
  },
  poisonedInCall: {
    shown: "poisoned",
    going: "call",
    on: { ...CALL, kill: "poisonedInCall", leave: "poisoned" },
  },
  broken: {
    shown: "broken",
    going: "nothing",
    on: {
      ...FREE,
      begin: "brokenInRun",
      beginRestore: "restoring",
      beginCall: "brokenInCall",
      kill: "broken",
      restored: "ready",
    },
  },
  brokenInRun: {
    shown: "broken",
    going: "run",
    on: { ...RUN, kill: "brokenInRun", settle: "brokenInRun", leave: "broken" },
  },
  brokenInCall: {
    shown: "broken",
    going: "call",
    on: { ...CALL, kill: "brokenInCall", leave: "broken" },
  },
  closed: {
    shown: "closed",
    going: "nothing",
    on: { ...CLOSED("closed"), begin: "closedInRun", beginCall: "closedInCall" },
  },
  /** The native sandbox is given up when what is going on is over. */
  closedInRun: {
    shown: "closed",
    going: "run",
    on: { ...CLOSED("closedInRun"), settle: "closedInRun", leave: "closed" },
  },
  closedInCall: {
    shown: "closed",
    going: "call",
    on: { ...CLOSED("closedInCall"), leave: "closed" },
  },
};

/**
 * A state. All are objects of one shape, with a property for each event, so that a transition is two loads:
 * a call makes up to three.
 */
export interface Life {
  readonly name: LifeName | "impossible";
  /** What users see. */
  readonly shown: SandboxState;
  /** Whether nothing is going on, so that what comes can begin at once. */
  readonly isFree: boolean;
  /** Whether what is going on is a run. */
  readonly isRun: boolean;
  /** Whether a call on this thread is going on. */
  readonly isCall: boolean;
  /** Whether it can be called, now or later; else it is poisoned, broken or closed. */
  readonly isUsable: boolean;
  /** Whether a kill has come that poisons when what is going on is over. */
  readonly isDoomed: boolean;
  readonly next: Readonly<Record<LifeEvent, Life>>;
}

type Unlinked = Life & { next: Record<LifeEvent, Life> };

function unlinked(
  name: Life["name"],
  { shown, going, isDoomed = false }: Omit<Row, "on">,
): Unlinked {
  return {
    name,
    shown,
    isFree: going === "nothing",
    isRun: going === "run",
    isCall: going === "call",
    isUsable: shown === "starting" || shown === "ready" || shown === "running",
    isDoomed,
    next: {} as Record<LifeEvent, Life>,
  };
}

/** Where events lead that cannot come. {@link possible} refuses it. */
export const IMPOSSIBLE: Life = unlinked("impossible", { shown: "closed", going: "nothing" });

/** All states, by name. */
export const LIVES: Readonly<Record<LifeName, Life>> = link();

function link(): Record<LifeName, Life> {
  const rows = Object.entries(TABLE) as [LifeName, Row][];
  const made = rows.map(([name, row]) => [name, unlinked(name, row)] as const);
  const lives = Object.fromEntries(made) as Record<LifeName, Unlinked>;
  for (const [name, { on }] of rows) {
    for (const event of LIFE_EVENTS) {
      const next = on[event];
      lives[name].next[event] = next === undefined ? IMPOSSIBLE : lives[next];
    }
  }
  return lives;
}

/** The state `to`, in which the one of `from` ends. Throws if that cannot be: a defect of ours. */
export function possible(to: Life, from: Life): Life {
  if (to === IMPOSSIBLE) throw new Error(`that cannot happen to a sandbox that is ${from.name}`);
  return to;
}
