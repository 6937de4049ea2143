import { Pool } from "ampoule";

const guest = "../../guests/target/x86_64-unknown-linux-gnu/release/markdown";
const pool = await Pool.create({
  guest: new URL(guest, import.meta.url),
  hostFunctions: { resolve_link: (href) => href },
  size: 1,
});

const lease = await pool.acquire({ signal: AbortSignal.timeout(5000) });
const { render } = lease.sandbox.call;
try {
  // In the same sandbox, one after the other; nobody else has it meanwhile.
  console.log((await render("# First", null)).title);
  console.log((await render("# Second", null)).title);
} finally {
  lease.release();
}

// The sandbox is somebody else's now, and what was kept of the lease does nothing.
await render("# Third", null).catch((error) => console.log(error.code, error.message));
await pool.close();
// Prints:
// First
// Second
// ERR_AMPOULE_CLOSED the lease was released
