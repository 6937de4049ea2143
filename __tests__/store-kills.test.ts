/** A saver that is killed at any point leaves the old snapshot or the new one, and nothing in the way. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, test } from "@jest/globals";
import { inspectStore, pruneStore, Sandbox, Snapshot, verifyStore } from "../ts/index.js";
import { async, HOST_FUNCTIONS, testing } from "./support/guests.js";
import { requireBuild } from "./support/killer.js";
import { describeWithKvm } from "./support/kvm.js";
import { Random } from "./support/random.js";

/** Stores that are killed over at the same time, and kills of each. */
const STORES = 2;
const KILLS = 100;
/** Turns of the event loop that a kill comes after a line at most: longer than a save. */
const TURNS_MAX = 24_000;

const VICTIM = new URL("./support/store-victim.mjs", import.meta.url).pathname;

/** Kills a saver at some point and tells what it said last. */
async function kill(store: string, random: Random): Promise<{ saved: number; saving: number }> {
  const child = spawn(process.execPath, [VICTIM, store], { stdio: ["ignore", "pipe", "inherit"] });
  const said = { saved: 0, saving: 0 };
  const closed = once(child, "close");
  let left = 1 + random.below(4);
  createInterface({ input: child.stdout }).on("line", (line) => {
    const [word, count] = line.split(" ");
    said[word as keyof typeof said] = Number(count);
    if (--left === 0) after(random.below(TURNS_MAX), () => child.kill("SIGKILL"));
  });
  const [, signal] = (await closed) as [number | null, string | null];
  expect(signal).toBe("SIGKILL");
  return said;
}

function after(turns: number, act: () => void): void {
  if (turns === 0) act();
  else setImmediate(() => after(turns - 1, act));
}

/** The next count of a sandbox that begins as the store's snapshot. */
async function next(store: string): Promise<number> {
  using snapshot = await Snapshot.load(store, { tag: "current" });
  await using sandbox = await Sandbox.create({ snapshot, hostFunctions: HOST_FUNCTIONS });
  return Number(await async(sandbox, "counter")());
}

async function campaign(store: string, random: Random): Promise<{ old: number; young: number }> {
  const sandbox = await testing();
  const first = await sandbox.snapshot();
  await first.save(store, { tag: "current" });
  await first.save(store, { tag: "untouched" });
  first.close();
  const seen = { old: 0, young: 0 };
  let before = 0;
  for (let round = 0; round < KILLS; round++) {
    const { saved, saving } = await kill(store, random);
    const found = (await next(store)) - 1;
    // What was said to be saved is there; what was being saved is there whole or not at all.
    const oldest = Math.max(before, saved);
    expect([oldest, Math.max(oldest, saving)]).toContain(found);
    if (saving > oldest) found === oldest ? seen.old++ : seen.young++;
    before = found;
    if (round % 25 === 24) await pruneStore(store);
  }
  expect((await inspectStore(store)).map(({ tag }) => tag).sort()).toEqual([
    "current",
    "untouched",
  ]);
  expect((await verifyStore(store)).filter(({ problem }) => problem !== null)).toEqual([]);
  await pruneStore(store);
  const names = [...readdirSync(store), ...readdirSync(join(store, "blobs/sha256"))];
  expect(names.filter((name) => name.startsWith(".tmp-"))).toEqual([]);
  return seen;
}

describeWithKvm("a saver that is killed", () => {
  test(`leaves the old or the new snapshot, ${STORES * KILLS} times`, async () => {
    requireBuild();
    const scratch = mkdtempSync(join(tmpdir(), "ampoule-kills-"));
    try {
      const campaigns = Array.from({ length: STORES }, (_, index) =>
        campaign(join(scratch, `store-${index}`), new Random(index + 1)),
      );
      const seen = await Promise.all(campaigns);
      const old = seen.reduce((sum, each) => sum + each.old, 0);
      const young = seen.reduce((sum, each) => sum + each.young, 0);
      console.info(`killed within a save: ${old} times the old was found, ${young} times the new`);
      expect(old).toBeGreaterThan(0);
    } finally {
      rmSync(scratch, { recursive: true, force: true });
    }
  }, 300_000);
});
