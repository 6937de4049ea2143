/**
 * From a fresh clone to a rendered page: installs, builds, renders README.md by untrusted code inside a
 * micro-VM, and shows what happened, also when the document is a hostile one.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildGuests, buildMissing } from "./build.js";
import { ROOT, say } from "./process.js";

buildMissing();
buildGuests();
const { Sandbox } = await import("../dist/index.js");

const GUEST = join(ROOT, "guests/target/x86_64-unknown-linux-gnu/release/markdown");
const OUTPUT = join(ROOT, "target/quickstart/README.html");
/** More than a page needs, and soon over for one that never ends. */
const TIMEOUT_MS = 1000;

/** Makes a sandbox for the Markdown renderer. Links go where the host says, or nowhere. */
function start() {
  return Sandbox.create({
    guest: GUEST,
    hostFunctions: {
      resolve_link: (href) => (/^(https?:|[\w./#-]+$)/.test(href) ? href : null),
    },
    memory: "64MiB",
    limits: { timeoutMs: TIMEOUT_MS },
  });
}

/** Milliseconds since `begin`, as text. */
function since(begin) {
  return `${(performance.now() - begin).toFixed(2)} ms`;
}

say("making a micro-VM for guests/markdown");
let begin = performance.now();
let sandbox = await start();
console.log(`ready after ${since(begin)}; it offers:`);
for (const { name, parameters } of sandbox.interface.exports) {
  console.log(`  ${name}(${parameters.map((parameter) => parameter.name).join(", ")})`);
}
console.log("and asks the host for:");
for (const { name } of sandbox.interface.imports) console.log(`  ${name}`);

say("rendering README.md inside it");
const source = readFileSync(join(ROOT, "README.md"), "utf8");
await sandbox.call.render(source, null);
const before = sandbox.statistics;
begin = performance.now();
const page = await sandbox.call.render(source, null);
const elapsed = since(begin);
const after = sandbox.statistics;
mkdirSync(join(OUTPUT, ".."), { recursive: true });
writeFileSync(OUTPUT, page.html);
console.log(`${page.html.split("\n").slice(0, 6).join("\n")}\n...`);
console.log(`"${page.title}": ${page.words} words, ${page.headings.length} headings, to ${OUTPUT}`);
console.log(
  `in ${elapsed} (the second time), ${after.exits - before.exits} exits from the VM of which ` +
    `${after.hostCalls - before.hostCalls} asked where a link leads, ` +
    `${(after.guestTimeMs - before.guestTimeMs).toFixed(2)} ms inside the guest`,
);

say("rendering guests/markdown/documents/endless.md, which makes the renderer loop for ever");
const hostile = readFileSync(join(ROOT, "guests/markdown/documents/endless.md"), "utf8");
begin = performance.now();
try {
  await sandbox.call.render(hostile, null);
  throw new Error("the hostile document was rendered, which should be impossible");
} catch (error) {
  if (error.code !== "ERR_AMPOULE_TIMEOUT") throw error;
  console.log(`cut off after ${since(begin)}: ${error.code}: ${error.message}`);
}
console.log(`the sandbox is ${sandbox.state}, this process is well:`);
await sandbox.close();
sandbox = await start();
const again = await sandbox.call.render("# It *goes on*", null);
console.log(`a new one renders ${again.html.trim()}`);
await sandbox.close();

console.log("\nNext: `npm test` runs every test; docs/getting-started.md is the way in.");
