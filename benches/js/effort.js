/** How much to measure, as `benches/src/effort.rs`. */
export const EFFORTS = {
  full: { rounds: 10, samples: 200, live: [1, 100, 1000] },
  quick: { rounds: 5, samples: 80, live: [1, 100] },
  smoke: { rounds: 1, samples: 4, live: [1] },
};

/** Samples in one turn of something `cost` times as long as a call. */
export function samplesAt(effort, cost) {
  return Math.max(2, Math.floor(effort.samples / cost));
}
