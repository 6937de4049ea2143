/**
 * Ten thousand callers of one pool whose guests leave secrets behind and end in every way there is:
 * nobody ever gets a sandbox with traces of another, or a dead one.
 */
import { expect, test } from "@jest/globals";
import { type Lease, Pool, Sandbox } from "../ts/index.js";
import { failureOf, HOST_FUNCTIONS, rustGuest } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { Random, turns } from "./support/random.js";

const RUNS = 10_000;
/** Callers at the same time, more than there are sandboxes. */
const LANES = 9;
const SIZE = 6;
/** Change it for other runs; a failure names its run, and the same seed repeats the choices. */
const SEED = Number(process.env["AMPOULE_STORM_SEED"] ?? 1);

interface Options {
  readonly timeoutMs?: number;
  readonly cpuTimeMs?: number;
  readonly signal?: AbortSignal;
}
/** A function of the guest: looks for traces, leaves `secret` everywhere, ends as told. */
type Visit = (secret: bigint, end: string, options?: Options) => Promise<unknown>;

const visitOf = (calls: unknown): Visit => (calls as { visit: Visit }).visit;

/** The error code, the kind of an error that the guest returned, or `ok` for the right answer. */
async function outcome(secret: bigint, work: () => Promise<unknown>): Promise<string> {
  try {
    const answer = await work();
    return answer === secret ? "ok" : `wrong answer ${answer}`;
  } catch (error) {
    const { code, kind, message } = error as { code: string; kind?: string; message: string };
    return kind === "Dirty" ? `DIRTY: ${message}` : (kind ?? code.replace("ERR_AMPOULE_", ""));
  }
}

/** What every caller has. */
interface Caller {
  readonly pool: Pool;
  readonly random: Random;
  readonly secret: bigint;
}

/** Ways to use a pool, and what may come of each. The first in the list come most often. */
const RUN_KINDS: readonly (readonly [
  name: string,
  run: (caller: Caller) => Promise<string>,
  outcomes: readonly string[],
])[] = [
  ...ends("return", ["ok"]),
  ...ends("return", ["ok"]),
  ...ends("return", ["ok"]),
  ...ends("ask", ["ok"]),
  ...ends("fail", ["Asked"]),
  ...ends("panic", ["GUEST_ABORT"]),
  ...ends("exit", ["GUEST_EXITED"]),
  ...ends("abort", ["GUEST_EXITED"]),
  ...ends("fault", ["GUEST_FAULT"]),
  ...ends("overflow", ["GUEST_FAULT"]),
  ...ends("exhaust", ["GUEST_ABORT", "GUEST_EXITED", "MEMORY_LIMIT"]),
  ...ends("flood", ["OUTPUT_LIMIT"]),
  ...ends("spin", ["TIMEOUT"], { timeoutMs: 1 }),
  ...ends("spin", ["CPU_TIME"], { cpuTimeMs: 1 }),
  ...ends("sleep", ["TIMEOUT"], { timeoutMs: 1 }),
  ["an aborted call", aborted, ["ok", "ABORTED"]],
  ["a killed lease", killed, ["ok", "KILLED"]],
  ["a lease of two calls", twoCalls, ["Dirty at last"]],
  ["a lease in callSync", inCallSync, ["ok", "GUEST_ABORT"]],
  ["a lease that is left early", leftEarly, ["ok", "KILLED"]],
  ["a lease for nothing", forNothing, ["ok"]],
];

function ends(
  end: string,
  outcomes: readonly string[],
  options?: Options,
): (typeof RUN_KINDS)[number][] {
  const run = ({ pool, secret }: Caller): Promise<string> =>
    outcome(secret, () => visitOf(pool.call)(secret, end, options));
  const name = options === undefined ? end : `${end} ${Object.keys(options)}`;
  return [[name, run, outcomes]];
}

function aborted({ pool, random, secret }: Caller): Promise<string> {
  const abort = new AbortController();
  const { signal } = abort;
  const end = random.pick(["return", "spin", "sleep", "ask"]);
  // Some of them wait all that time, some run, some are done.
  void turns(random.below(random.pick([10, 100, 1000]))).then(() => abort.abort());
  return outcome(secret, () => visitOf(pool.call)(secret, end, { signal }));
}

async function withLease(pool: Pool, use: (lease: Lease) => Promise<string>): Promise<string> {
  const lease = await pool.acquire();
  try {
    return await use(lease);
  } finally {
    lease.release();
  }
}

function killed({ pool, random, secret }: Caller): Promise<string> {
  return withLease(pool, async (lease) => {
    const end = random.pick(["return", "spin", "sleep"]);
    const running = outcome(secret, () => visitOf(lease.sandbox.call)(secret, end));
    await turns(random.below(30));
    if (random.below(2) === 0) Sandbox.kill(lease.sandbox.id);
    else lease.sandbox.kill();
    return running;
  });
}

/** The second call in the same lease finds what the first has left: the guest can tell. */
function twoCalls({ pool, secret }: Caller): Promise<string> {
  return withLease(pool, async (lease) => {
    const visit = visitOf(lease.sandbox.call);
    const first = await outcome(secret, () => visit(secret, "return"));
    if (first !== "ok") return first;
    const second = await failureOf(() => visit(secret, "return"));
    return second["message"] === "zeroed memory, initialised memory, heap, notes"
      ? "Dirty at last"
      : `second call: ${second["message"]}`;
  });
}

function inCallSync({ pool, random, secret }: Caller): Promise<string> {
  return withLease(pool, (lease) => {
    const visit = visitOf(lease.sandbox.callSync);
    return outcome(secret, async () => visit(secret, random.pick(["return", "panic"])));
  });
}

/** Released while the call runs; what runs is stopped. */
async function leftEarly({ pool, random, secret }: Caller): Promise<string> {
  const lease = await pool.acquire();
  const end = random.pick(["return", "spin", "sleep"]);
  const running = outcome(secret, () => visitOf(lease.sandbox.call)(secret, end));
  await turns(random.below(10));
  lease.release();
  return running;
}

async function forNothing({ pool }: Caller): Promise<string> {
  (await pool.acquire()).release();
  return "ok";
}

describeWithKvm("a pool", () => {
  test(`of ${SIZE} sandboxes serves ${RUNS} mixed runs, each in a clean one`, async () => {
    const pool = await Pool.create({
      guest: rustGuest("testing"),
      memory: "5MiB",
      limits: { stack: "64KiB", message: "64KiB", output: "64KiB" },
      hostFunctions: { ...HOST_FUNCTIONS, fetch_number: () => turns(1).then(() => 0) },
      stdout: "ignore",
      stderr: "ignore",
      size: { min: 2, max: SIZE },
    });
    const random = new Random(SEED);
    const seen = new Map<string, number>();
    let next = 0;
    const lane = async (): Promise<void> => {
      while (next < RUNS) {
        const run = ++next;
        const [name, act, outcomes] = random.pick(RUN_KINDS);
        const got = await act({ pool, random, secret: BigInt(run) });
        seen.set(`${name}: ${got}`, (seen.get(`${name}: ${got}`) ?? 0) + 1);
        if (!outcomes.includes(got)) throw new Error(`run ${run} of seed ${SEED}, ${name}: ${got}`);
      }
    };
    const start = performance.now();
    await Promise.all(Array.from({ length: LANES }, lane));
    await pool.drain();
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    const { statistics } = pool;
    console.log(
      `${RUNS} runs in ${seconds} s: ${JSON.stringify(statistics)}\n` +
        [...seen]
          .sort()
          .map(([what, count]) => `  ${what} (${count})`)
          .join("\n"),
    );
    expect(statistics).toMatchObject({ busy: 0, restoring: 0, queued: 0, failedCreations: 0 });
    expect(statistics.size).toBe(SIZE);
    // Every kind came, and everything that was touched was restored or replaced.
    for (const [name] of RUN_KINDS) {
      expect([...seen.keys()].some((key) => key.startsWith(`${name}: `))).toBe(true);
    }
    expect(statistics.restores + statistics.replaced).toBeGreaterThan(statistics.calls);
    await pool.close();
  });
});
