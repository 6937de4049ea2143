/** Snapshots: taking them, going back to them, beginning as one. */
import { afterEach, expect, test } from "@jest/globals";
import { Sandbox, Snapshot } from "../ts/index.js";
import { async, failureOf, HOST_FUNCTIONS, sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";

const open = new Set<Sandbox | Snapshot>();

afterEach(async () => {
  await Promise.all([...open].map((each) => each.close()));
  open.clear();
});

/** Closes `each` after the test. */
function closing<T extends Sandbox | Snapshot>(each: T): T {
  open.add(each);
  return each;
}

const count = (sandbox: Sandbox): unknown => sync(sandbox, "counter")();
const counted = (sandbox: Sandbox): Promise<unknown> => async(sandbox, "counter")();
const from = async (snapshot: Snapshot, options: object = {}): Promise<Sandbox> =>
  closing(
    await Sandbox.create({
      snapshot,
      hostFunctions: HOST_FUNCTIONS,
      stdout: "ignore",
      stderr: "ignore",
      ...options,
    } as never),
  );

describeWithKvm("a snapshot", () => {
  test("is where sandboxes begin and what they go back to", async () => {
    const sandbox = await testing();
    expect(count(sandbox)).toBe(1n);
    const snapshot = closing(await sandbox.snapshot());
    expect(snapshot.interface).toEqual(sandbox.interface);
    expect(snapshot.memoryBytes).toBeGreaterThan(4096);
    const others = await Promise.all([from(snapshot), from(snapshot), from(snapshot)]);
    for (let round = 0; round < 3; round++) {
      for (const each of [sandbox, ...others]) {
        expect(count(each)).toBe(2n);
        expect(await counted(each)).toBe(3n);
      }
      await sandbox.restore(snapshot);
      for (const each of others) await each.restore();
    }
    await sandbox.restore();
    expect(count(sandbox)).toBe(1n);
    for (const { statistics } of others) {
      expect(statistics).toMatchObject({ initialisations: 0, calls: 6, restores: 3 });
    }
  });

  test("outlives its handles and its sandbox", async () => {
    const sandbox = await testing();
    count(sandbox);
    const snapshot = await sandbox.snapshot();
    const other = await from(snapshot);
    snapshot.close();
    snapshot.close();
    await sandbox.close();
    expect(count(other)).toBe(2n);
    other.restoreSync();
    expect(count(other)).toBe(2n);
    expect(await failureOf(() => other.restore(snapshot))).toMatchObject({
      code: "ERR_AMPOULE_CLOSED",
    });
    expect(await failureOf(() => from(snapshot))).toMatchObject({ code: "ERR_AMPOULE_CLOSED" });
    expect(await failureOf(() => Snapshot.open(snapshot.id))).toMatchObject({
      code: "ERR_AMPOULE_SNAPSHOT_NOT_FOUND",
    });
    expect(other.state).toBe("ready");
  });
});
