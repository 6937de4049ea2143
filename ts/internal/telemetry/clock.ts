/**
 * The time of spans. One offset is used throughout a call, by this side and by the native side for
 * what the guest has recorded, so that all of its times are on one clock.
 */
import { native } from "../native/native.js";
import type { HrTime } from "./spans.js";

const SECOND = 1_000_000_000;

/** What turns monotonic time into wall time, and the second of monotonic time it was read in. */
let offset: HrTime = [0, 0];
let readIn = -1;

/** Wall time that runs as monotonic time does, so that steps of the wall clock do not show. */
export class Clock {
  /** Wall time is monotonic time and this. */
  readonly offset: HrTime;
  readonly start: HrTime;

  /** Starts now. */
  constructor() {
    const monotonic = process.hrtime();
    // Read again at most once a second: it changes only as the wall clock is adjusted.
    if (readIn !== monotonic[0]) {
      readIn = monotonic[0];
      offset = native().wallOffset() as HrTime;
    }
    this.offset = offset;
    this.start = sum(monotonic, offset);
  }

  now(): HrTime {
    return sum(process.hrtime(), this.offset);
  }
}

function sum(one: HrTime, other: HrTime): HrTime {
  const nanoseconds = one[1] + other[1];
  const seconds = one[0] + other[0];
  return nanoseconds < SECOND ? [seconds, nanoseconds] : [seconds + 1, nanoseconds - SECOND];
}

/** Seconds from `start` to `end`. */
export function secondsBetween(start: HrTime, end: HrTime): number {
  return end[0] - start[0] + (end[1] - start[1]) / SECOND;
}

/** The later of two times. */
export function later(one: HrTime, other: HrTime): HrTime {
  return one[0] > other[0] || (one[0] === other[0] && one[1] > other[1]) ? one : other;
}
