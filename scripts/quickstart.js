/**
 * From a fresh clone to a result: installs, builds, renders this repository's README in a micro-VM and
 * shows what happened, then lets a malicious document try to keep the processor for ever.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { buildGuests, buildMissing } from "./build.js";
import { ROOT, say } from "./process.js";

const GUEST = join(ROOT, "guests/target/x86_64-unknown-linux-gnu/release/markdown");
const DEADLINE_MS = 300;

buildMissing();
buildGuests();
const { probe, Sandbox } = await import("../dist/index.js");
const { usable, finding, remedy } = probe();
if (!usable) {
  console.error(`\nSandboxes cannot run here: ${finding}.\nRemedy: ${remedy}.`);
  process.exit(1);
}

const links = [];
const create = () =>
  Sandbox.create({
    guest: GUEST,
    memory: "64MiB",
    // The guest renders, the host decides where links may lead.
    hostFunctions: {
      resolve_link(href) {
        links.push(href);
        return /^(https:|#|[\w./-]+$)/.test(href) ? href : null;
      },
    },
  });
const milliseconds = (from) => `${(performance.now() - from).toFixed(1)} ms`;

say("a micro-VM that renders Markdown");
let begin = performance.now();
const sandbox = await create();
console.log(`created and ready in ${milliseconds(begin)}; it offers:`);
for (const { name, parameters, documentation } of sandbox.interface.exports) {
  const list = parameters.map((parameter) => parameter.name).join(", ");
  console.log(`  ${name}(${list})  ${documentation?.split("\n", 1)[0] ?? ""}`);
}

say("README.md, rendered inside it");
const source = readFileSync(join(ROOT, "README.md"), "utf8");
const before = sandbox.statistics;
begin = performance.now();
const { title, html, headings } = await sandbox.call.render(source, null);
const took = milliseconds(begin);
const after = sandbox.statistics;
console.log(html.split("\n").slice(0, 12).join("\n"));
console.log("  ...\n");
console.log(`title       ${title}, ${headings.length} headings`);
console.log(`source      ${source.length} characters, HTML ${html.length}`);
console.log(`time        ${took}`);
console.log(`links       ${links.length} asked of the host`);
console.log(`VM exits    ${after.exits - before.exits} in the call, ${before.exits} to start`);
console.log(`memory      ${(after.memoryBytes / 1024 ** 2).toFixed(1)} MiB in use`);

say(`a document that never ends, with a deadline of ${DEADLINE_MS} ms`);
const endless = readFileSync(join(ROOT, "guests/markdown/documents/endless.md"), "utf8");
begin = performance.now();
try {
  await sandbox.call.render(endless, null, { timeoutMs: DEADLINE_MS });
} catch (error) {
  console.log(`stopped after ${milliseconds(begin)}: ${error.code}: ${error.message}`);
}
console.log(`the sandbox is ${sandbox.state}, this process is well`);
await sandbox.close();

const again = await create();
await again.call.render("# Still here", null);
console.log("and another sandbox answers");
await again.close();
