/** The pools of this thread, for the OpenTelemetry SDK for metrics that the user has registered. */

// Not OpenTelemetry's own types: this module is part of the package's declarations, which have to compile
// where that is not installed.

/** What is used of an `ObservableResult`. */
interface Result {
  observe(value: number, attributes: Readonly<Record<string, string>>): void;
}

/** What is used of a `Meter`. */
interface Meter {
  createObservableUpDownCounter(
    name: string,
    options: { readonly description: string; readonly unit: string },
  ): { addCallback(callback: (result: Result) => void): void };
}

/** What there is in a pool now. */
export interface PoolCounts {
  readonly idle: number;
  readonly busy: number;
  readonly restoring: number;
  readonly creating: number;
  readonly queued: number;
}

interface Counted {
  readonly counts: PoolCounts;
}

/** Weak, so that a pool that was forgotten can go. */
interface MeteredPool {
  readonly name: string;
  readonly pool: WeakRef<Counted>;
}

const metered = new Set<MeteredPool>();

/** Names of pools that there were: an SDK repeats the last value of what nobody reports on any more. */
const gone = new Set<string>();
const GONE_MAX = 1000;

/** Reports on `pool`, the one of that name, until the function that is returned is called. */
export function observe(name: string, pool: Counted): () => void {
  const each = { name, pool: new WeakRef(pool) };
  metered.add(each);
  return () => forget(each);
}

function forget(each: MeteredPool): void {
  metered.delete(each);
  gone.add(each.name);
  const [oldest] = gone;
  if (gone.size > GONE_MAX && oldest !== undefined) gone.delete(oldest);
}

const STATES = ["idle", "busy", "restoring", "creating"] as const;
type Count = (typeof STATES)[number] | "queued";

/** Makes the instruments that report on all pools there are whenever somebody asks. */
export function observePools(meter: Meter): void {
  meter
    .createObservableUpDownCounter("ampoule.pool.sandboxes", {
      description: "Sandboxes of pools, by state",
      unit: "{sandbox}",
    })
    .addCallback((result) => {
      for (const state of STATES) report(result, state, { "ampoule.pool.state": state });
    });
  meter
    .createObservableUpDownCounter("ampoule.pool.waiting", {
      description: "Callers that wait for a sandbox of a pool",
      unit: "{call}",
    })
    .addCallback((result) => report(result, "queued", {}));
}

/** Pools of one name are told apart by nothing: they count together. */
function report(result: Result, count: Count, attributes: Record<string, string>): void {
  const sums = new Map([...gone].map((name) => [name, 0]));
  for (const each of metered) {
    const pool = each.pool.deref();
    if (pool === undefined) forget(each);
    else sums.set(each.name, (sums.get(each.name) ?? 0) + pool.counts[count]);
  }
  for (const [name, sum] of sums) {
    result.observe(sum, { "ampoule.sandbox.name": name, ...attributes });
  }
}
