import { Pool } from "ampoule";

const guest = "../../guests/target/x86_64-unknown-linux-gnu/release/markdown";
const pool = await Pool.create({
  guest: new URL(guest, import.meta.url),
  hostFunctions: { resolve_link: (href) => href },
  size: 1,
  maxQueue: 2,
});

// One runs, two wait, and the fourth is told at once, so that a server can answer 503.
const calls = ["a", "b", "c", "d"].map((text) => pool.call.render(text, null));
for (const { status, reason } of await Promise.allSettled(calls)) {
  console.log(status, reason?.code ?? "");
}
await pool.close();
// Prints:
// fulfilled
// fulfilled
// fulfilled
// rejected ERR_AMPOULE_QUEUE_FULL
