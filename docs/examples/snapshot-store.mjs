import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspectStore, Sandbox, Snapshot } from "ampoule";

const guest = new URL(
  "../../guests/target/x86_64-unknown-linux-gnu/release/markdown",
  import.meta.url,
);
const hostFunctions = { resolve_link: (href) => href };
const store = mkdtempSync(join(tmpdir(), "store-"));

// Where guests are built: start one, and save it as it is when it is ready.
const original = await Sandbox.create({ guest, hostFunctions });
const ready = await original.snapshot();
await ready.save(store, { tag: "markdown-1.0", metadata: { builtBy: "ci" } });

// A later one writes only the pages in which it differs.
await original.call.render("# Warm", null);
const warm = await original.snapshot();
const { layers } = await warm.save(store, { tag: "markdown-1.0-warm" });
console.log(layers.map(({ kind }) => kind).join(", "));

// Where they run, in another process or on another machine.
const snapshot = await Snapshot.load(store, { tag: "markdown-1.0-warm" });
const sandbox = await Sandbox.create({ snapshot, hostFunctions });
console.log((await sandbox.call.render("# From disk", null)).title);
console.log(sandbox.statistics.initialisations, "initialisations");
for (const { tag, metadata } of await inspectStore(store)) console.log(tag, metadata);

for (const each of [ready, warm, snapshot]) each.close();
await Promise.all([original.close(), sandbox.close()]);
rmSync(store, { recursive: true });
// Prints:
// base, pages, interface, executable
// From disk
// 0 initialisations
// markdown-1.0 { builtBy: 'ci' }
// markdown-1.0-warm {}
