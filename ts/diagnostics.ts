/**
 * What subscribers of the `node:diagnostics_channel` tracing channels get: one object for all the
 * messages of an operation, to which Node.js adds `result` or `error`.
 */

/** Of the channel `ampoule:call`: a call of a guest's function, from the call to its result. */
export interface CallMessage {
  readonly function: string;
  /** The name of the sandbox, or of those of the pool. */
  readonly sandbox: string;
  /** What was given, options included. */
  readonly arguments: readonly unknown[];
}

/** Of the channel `ampoule:host-function`: a function of the host's that a guest has called. */
export interface HostFunctionMessage {
  readonly function: string;
  /** The name of the sandbox. */
  readonly sandbox: string;
  readonly arguments: readonly unknown[];
}

/** Of the channel `ampoule:create`: a sandbox that is made, also one of a pool. */
export interface CreateMessage {
  /** The name of the sandbox. */
  readonly sandbox: string;
  /** The id of the snapshot it is made from; `null` if it is made from a guest. */
  readonly snapshot: number | null;
}

/**
 * Of the channel `ampoule:restore`: a sandbox that goes back to a snapshot, also one of a pool. What
 * `restore: "after-call"` does is part of its call.
 */
export interface RestoreMessage {
  /** The name of the sandbox. */
  readonly sandbox: string;
  /** The id of the snapshot; `null` for what the sandbox was made from. */
  readonly snapshot: number | null;
}
