import { Pool } from "ampoule";

const guest = "../../guests/target/x86_64-unknown-linux-gnu/release/markdown";
const pool = await Pool.create({
  guest: new URL(guest, import.meta.url),
  hostFunctions: { resolve_link: (href) => href },
  memory: "64MiB",
  size: { min: 2, max: 4 },
});

// Eight callers, at most four sandboxes, a clean one for each call.
const titles = ["One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight"];
const pages = await Promise.all(titles.map((title) => pool.call.render(`# ${title}`, null)));
console.log(pages.map((page) => page.title).join(" "));

// A document that never ends costs its caller an error, and nobody else anything.
const endless = "{{define a}}\n{{use a}}\n{{end}}\n\n{{use a}}";
const failed = await pool.call.render(endless, null, { timeoutMs: 100 }).catch((error) => error);
console.log(failed.code);
console.log((await pool.call.render("# Still here", null)).title);

await pool.drain();
const { calls, restores, busy } = pool.statistics;
console.log({ calls, restores, busy });
await pool.close();
// Prints:
// One Two Three Four Five Six Seven Eight
// ERR_AMPOULE_TIMEOUT
// Still here
// { calls: 10, restores: 10, busy: 0 }
