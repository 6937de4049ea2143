/**
 * The numbers that stand for something at the border to the binding. Their source is
 * `bindings/node/src/numbers.rs`, and this does not compile when the two drift apart. Constants here,
 * because the binding is loaded at first use, and nothing is looked up for a step.
 */

/** Not exported: declarations that name it cannot be read where `imports` of a package.json are not known. */
type Generated = typeof import("#native");

/** An enum of the binding's, its names as they are written here. */
type Of<Name extends keyof Generated> = {
  readonly [Key in keyof Generated[Name] & string as Uncapitalize<Key>]: Generated[Name][Key];
};

/** Kinds of steps. */
export const Step = {
  ready: 0,
  return: 1,
  guestError: 2,
  hostCall: 3,
  output: 4,
  input: 5,
  exited: 6,
  stopped: 7,
  /** Resume with `continue` after as many milliseconds as the length says. */
  sleep: 8,
  /** The sandbox is gone; its handle is void. */
  closed: 9,
  /** Nothing has happened. */
  none: 10,
  snapshot: 11,
  restored: 12,
} as const satisfies Of<"Step">;

/** What a step that ends something leaves the sandbox in, where its kind does not tell. */
export const Condition = {
  /** A call was stopped, or a snapshot not taken, and the sandbox is ready. */
  ready: 1,
  /** A restore failed. */
  broken: 2,
} as const satisfies Of<"Condition">;

/** How a step is answered. */
export const Resumption = {
  hostReturn: 0,
  hostError: 1,
  input: 2,
  endOfInput: 3,
  continue: 4,
} as const satisfies Of<"Resumption">;

/** Why a sandbox is stopped from outside. */
export const StopReason = {
  killed: 0,
  aborted: 1,
  closed: 2,
} as const satisfies Of<"StopReason">;

type Layout = Generated["StepLayout"];

// Below it are the kind in 4 bits, output pending in 1, function in 16, and above it the length in 32.
const LOW = 0x20_0000 satisfies Layout["LengthUnit"];

/** The kind of a step. */
export const stepKind = (step: number): number => (step % LOW) & (0xf satisfies Layout["KindMask"]);
/** Whether the guest has written output that has not been taken. */
export const stepHasOutput = (step: number): boolean =>
  ((step % LOW) & (0x10 satisfies Layout["OutputPending"])) !== 0;
/** The host function of a `hostCall`. */
export const stepFunction = (step: number): number =>
  (step % LOW) >>> (5 satisfies Layout["FunctionShift"]);
/** The {@link Condition} behind a step that ends something; 0 where its kind says it. */
export const stepCondition = stepFunction;
/** Payload bytes in the staging buffer, bytes wanted of an `input`, milliseconds of a `sleep`. */
export const stepLength = (step: number): number => (step - (step % LOW)) / LOW;
