/** Measuring in turns, as `benches/src/compare.rs` does, with the same form of result. */

/** Durations of one contestant in microseconds, round by round. */
export class Series {
  constructor(rounds = []) {
    this.rounds = rounds;
  }

  quantile(quantile) {
    return quantileOf(this.rounds.flat(), quantile);
  }

  get p50() {
    return this.quantile(0.5);
  }

  /** How many times `floor` this takes: the median over rounds of the medians' ratio. */
  ratioTo(floor) {
    const ratios = this.rounds.map(
      (own, round) => quantileOf(own, 0.5) / quantileOf(floor.rounds[round] ?? [], 0.5),
    );
    return quantileOf(ratios, 0.5);
  }
}

/** The nearest-rank quantile; NaN of nothing. */
function quantileOf(values, quantile) {
  const sorted = Float64Array.from(values).sort();
  if (sorted.length === 0) return Number.NaN;
  const rank = Math.min(Math.max(Math.ceil(quantile * sorted.length), 1), sorted.length);
  return sorted[rank - 1];
}

/**
 * Gives every contestant (name -> function that returns samples) a turn in each round, the first of
 * a round changing, and returns a series for each.
 */
export async function inTurns(rounds, contestants) {
  const names = Object.keys(contestants);
  const series = Object.fromEntries(names.map((name) => [name, new Series()]));
  for (let round = 0; round < rounds; round++) {
    for (let place = 0; place < names.length; place++) {
      const name = names[(round + place) % names.length];
      series[name].rounds.push(await contestants[name]());
    }
  }
  return series;
}

/** Times `operation`, `samples` times, in microseconds; the first one does not count. */
export function sample(samples, operation) {
  const times = [];
  for (let index = 0; index <= samples; index++) {
    const start = performance.now();
    operation();
    const time = performance.now() - start;
    if (index > 0) times.push(time * 1000);
  }
  return times;
}

/** {@link sample} of an asynchronous operation; `before` and `after` are awaited and not timed. */
export async function sampleAsync(samples, operation, { before, after } = {}) {
  const times = [];
  for (let index = 0; index <= samples; index++) {
    if (before !== undefined) await before();
    const start = performance.now();
    const result = await operation();
    const time = performance.now() - start;
    if (after !== undefined) await after(result);
    if (index > 0) times.push(time * 1000);
  }
  return times;
}

/** What was measured: printed as it comes, kept for the record. */
export class Report {
  measurements = [];
  counted = [];
  notes = [];

  /** Adds what was counted and not timed; `values` have their unit in their names. */
  count(benchmark, name, values, { goal, met } = {}) {
    this.counted.push({ benchmark, name, values, ...(goal === undefined ? {} : { goal, met }) });
    console.log(
      `${name}: ${JSON.stringify(values)}${goal === undefined ? "" : ` (goal: ${goal})`}`,
    );
  }

  /**
   * @param floor - `{ name, series }` that took turns with it.
   * @param goal - the most it may take, in microseconds.
   * @param counts - what was counted, not timed.
   */
  add(benchmark, name, series, { parameters = {}, floor, goal, counts } = {}) {
    const measurement = {
      benchmark,
      name,
      parameters,
      p50: series.p50,
      p90: series.quantile(0.9),
      p99: series.quantile(0.99),
      samples: series.rounds.flat().length,
      rounds: series.rounds.length,
      ...(floor === undefined
        ? {}
        : { floor: floor.name, floorP50: floor.series.p50, ratio: series.ratioTo(floor.series) }),
      ...(goal === undefined ? {} : { goal }),
      ...(counts === undefined ? {} : { counts }),
    };
    this.measurements.push(measurement);
    console.log(line(measurement));
  }

  /** Something that a reader of the figures must know. */
  note(text) {
    this.notes.push(text);
    console.log(`note: ${text}`);
  }
}

function line({ name, parameters, p50, p90, p99, floor, floorP50, ratio, goal, counts = {} }) {
  const list = (values) =>
    Object.entries(values)
      .map(([key, value]) => ` ${key}=${value}`)
      .join("");
  const figure = (value) => value.toFixed(2).padStart(9);
  const beside =
    floor === undefined ? "" : `  ${ratio.toFixed(2)} x ${floor} (${floorP50.toFixed(2)})`;
  const verdict =
    goal === undefined ? "" : `  ${p50 <= goal ? "within" : "above"} goal ${goal.toFixed(2)}`;
  return (
    `${name.padEnd(40)}${list(parameters).padEnd(16)} p50 ${figure(p50)}  p90 ${figure(p90)}` +
    `  p99 ${figure(p99)} us${beside}${verdict}${list(counts)}`
  );
}
