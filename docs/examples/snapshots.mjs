import { Sandbox } from "ampoule";

const guest = new URL(
  "../../guests/target/x86_64-unknown-linux-gnu/release/markdown",
  import.meta.url,
);
const hostFunctions = { resolve_link: (href) => href };
const endless = "{{define a}}\n{{use a}}\n{{end}}\n\n{{use a}}";

// A document that never ends poisons its sandbox, and restore() makes that ready again.
const first = await Sandbox.create({ guest, hostFunctions });
const failed = await first.call.render(endless, null, { timeoutMs: 100 }).catch((error) => error);
console.log(failed.code, first.state);
await first.restore();
console.log(first.state, (await first.call.render("# Back", null)).title);

// What sandboxes begin as from now on: a guest that has rendered its first document.
const snapshot = await first.snapshot();
const others = await Promise.all(
  [1, 2, 3].map(() => Sandbox.create({ snapshot, hostFunctions })),
);
others.push(await first.fork());
for (const sandbox of others) {
  const { title } = sandbox.callSync.render("# Same guest, memory of its own", null);
  console.log(title, sandbox.statistics.initialisations);
}

snapshot.close();
await Promise.all([first, ...others].map((sandbox) => sandbox.close()));
// Prints:
// ERR_AMPOULE_TIMEOUT poisoned
// ready Back
// Same guest, memory of its own 0
// Same guest, memory of its own 0
// Same guest, memory of its own 0
// Same guest, memory of its own 0
