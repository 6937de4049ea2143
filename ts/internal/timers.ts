/** The longest time that a timer of Node.js can be set for, in milliseconds: above it, it fires at once. */
export const TIMER_MAX = 2 ** 31 - 1;
