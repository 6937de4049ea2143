/** The sandboxes of this thread with which something asynchronous is going on. */
import { native } from "../native/native.js";
import { TIMER_MAX } from "../timers.js";

/** Whoever handles the steps of a sandbox. */
export interface StepTarget {
  /** The native side has a step. */
  step(): void;
}

/** By handle. What stands here is kept from collection, and keeps the event loop going. */
const running = new Map<number, StepTarget>();

/** The native side's own handle on the event loop is weak, so that it never keeps Node.js alive. */
let alive: NodeJS.Timeout | undefined;

/** Makes the native side tell this thread of steps; must come before the first sandbox. */
export function listen(): void {
  if (alive !== undefined) return;
  native().onStep((handle) => {
    const target = running.get(handle);
    // The end of a sandbox whose owner was collected is only taken note of.
    if (target === undefined) native().takeStep(handle);
    else target.step();
  });
  alive = setInterval(() => {}, TIMER_MAX).unref();
}

/** From now on `target` hears of the steps of sandbox `handle`. */
export function enter(handle: number, target: StepTarget): void {
  if (running.size === 0) alive?.ref();
  running.set(handle, target);
}

/** Nothing more is awaited of sandbox `handle`. */
export function leave(handle: number): void {
  if (running.delete(handle) && running.size === 0) alive?.unref();
}

/** Who handles the steps of sandbox `handle`, if anything is going on with it. */
export function targetOf(handle: number): StepTarget | undefined {
  return running.get(handle);
}
