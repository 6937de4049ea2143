import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "ampoule";

const source = new URL("shout.c", import.meta.url).pathname;
const program = join(mkdtempSync(join(tmpdir(), "shout-")), "shout");
execFileSync("gcc", ["-static", "-O2", "-o", program, source]);

const shout = await run(program, {
  args: ["loud"],
  files: { "/etc/words": "quiet words\n" },
});
process.stdout.write(shout.stdout);

// The same program without the file: the guest sees what it was given and nothing else.
const failed = await run(program);
console.log(failed.exitCode, failed.errorText);
// Prints:
// QUIET WORDS
// 1 arguments, the first is loud
// 1 /etc/words: No such file or directory
