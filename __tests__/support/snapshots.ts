/** What tests of snapshots share. */
import { afterEach } from "@jest/globals";
import { Sandbox, type Snapshot } from "../../ts/index.js";
import { async, HOST_FUNCTIONS, sync } from "./guests.js";

const open = new Set<Sandbox | Snapshot>();

afterEach(async () => {
  await Promise.all([...open].map((each) => each.close()));
  open.clear();
});

/** Closes `each` after the test. */
export function closing<T extends Sandbox | Snapshot>(each: T): T {
  open.add(each);
  return each;
}

/** How often the function was called in this state of the guest, this time included. */
export const count = (sandbox: Sandbox): unknown => sync(sandbox, "counter")();
/** Like {@link count}, asynchronous. */
export const counted = (sandbox: Sandbox): Promise<unknown> => async(sandbox, "counter")();

/** A sandbox of the guest `testing` from a snapshot; closed after the test. */
export async function from(snapshot: Snapshot, options: object = {}): Promise<Sandbox> {
  const given = { snapshot, hostFunctions: HOST_FUNCTIONS, stdout: "ignore", stderr: "ignore" };
  return closing(await Sandbox.create({ ...given, ...options } as never));
}
