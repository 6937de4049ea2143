/** What is recorded: a sandbox, and what is asked of it. */
import type { Callsite } from "./callsites.js";
import type { Directives } from "./directives.js";
import type { Trouble } from "./guest-spans.js";
import type { OnLog } from "./logs.js";
import type { Meter } from "./metrics.js";

/** What recordings of single calls need of the sandbox. */
export interface Subject {
  readonly handle: number;
  readonly name: string;
  readonly onLog: OnLog | undefined;
  readonly callsites: Map<number, Callsite>;
  readonly meter: Meter;
  /** The name of host function number `number`. */
  hostFunction(number: number): string;
  /** So much was wrong with the trace data of a call. */
  report(trouble: Trouble): void;
}

/** What recordings need of a call. */
export interface Recorded {
  /** Its name, in spans. */
  readonly what: string;
  /** What a guest's function is to trace; absent: what the sandbox's options say. */
  readonly trace?: Directives | undefined;
}
