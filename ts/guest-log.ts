/** How grave an event of a guest is. */
export type GuestLogLevel = "error" | "warn" | "info" | "debug" | "trace";

/**
 * An event that a guest has recorded, in Rust by `tracing::event!` or the macros of the crate `log`.
 * All of it is the guest's own and can be anything.
 */
export interface GuestLog {
  /** When, in nanoseconds since the Unix epoch. */
  readonly timeNs: bigint;
  readonly level: GuestLogLevel;
  /** Whom it is of, most often a module such as `my_guest::db`. */
  readonly target: string;
  /** The text; empty if it has none. */
  readonly message: string;
  /** What it was given beside the text. */
  readonly fields: Readonly<Record<string, string | number | boolean>>;
  /** The name of its place in the source. */
  readonly name: string;
  /** The source file, `null` if unknown. */
  readonly file: string | null;
  /** The line in it, `null` if unknown. */
  readonly line: number | null;
  /** The function that the sandbox was called with; `null` while the guest initialises. */
  readonly function: string | null;
  /** The sandbox's name. */
  readonly sandbox: string;
  /** The span it happened in, if the call is recorded by an OpenTelemetry SDK, else `null`. */
  readonly span: { readonly traceId: string; readonly spanId: string } | null;
}
