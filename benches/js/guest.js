/** The guest `guests/fixtures/bench`, through the package's public API. */

import { fileURLToPath } from "node:url";
import { Sandbox } from "ampoule";

const built = new URL(
  "../../guests/target/x86_64-unknown-linux-gnu/release/bench",
  import.meta.url,
);

/** The executable. */
export const GUEST = fileURLToPath(built);

/** Options of every sandbox here. */
export const OPTIONS = {
  guest: GUEST,
  memory: "64MiB",
  limits: { stack: "1MiB", message: "2MiB", hostCalls: Number.MAX_SAFE_INTEGER },
  hostFunctions: { tick: (number) => number },
};

/** A ready sandbox. */
export function create(options = {}) {
  return Sandbox.create({ ...OPTIONS, ...options });
}

/** A snapshot of a guest that holds so many MiB, none of them zero. */
export async function snapshotHolding(mib) {
  const sandbox = await create();
  try {
    await sandbox.call.hold(BigInt(mib));
    return await sandbox.snapshot();
  } finally {
    await sandbox.close();
  }
}
