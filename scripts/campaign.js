/**
 * Long checks that are no part of `npm test`: long fuzzing, other people's suites, load.
 * Each is a file of `scripts/campaigns/`, whose first comment says what it does and what it takes.
 *
 * usage: npm run campaign            lists them
 *        npm run campaign -- <name> [arguments]
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { buildGuests, buildMissing } from "./build.js";
import { ROOT, run } from "./process.js";

const FOLDER = join(ROOT, "scripts/campaigns");
const [name, ...args] = process.argv.slice(2);
const names = readdirSync(FOLDER)
  .filter((file) => file.endsWith(".js"))
  .map((file) => file.slice(0, -".js".length))
  .sort();

if (name === undefined) {
  for (const each of names) console.log(`${each.padEnd(20)} ${purpose(each)}`);
} else if (!names.includes(name)) {
  console.error(`there is no campaign ${JSON.stringify(name)}; there are ${names.join(", ")}`);
  process.exitCode = 2;
} else {
  buildMissing();
  buildGuests();
  run(process.execPath, ["--expose-gc", join(FOLDER, `${name}.js`), ...args]);
}

/** The first sentence of a campaign's first comment. */
function purpose(campaign) {
  const source = readFileSync(join(FOLDER, `${campaign}.js`), "utf8");
  const comment = /\/\*\*([\s\S]*?)\*\//.exec(source)?.[1] ?? "";
  const words = comment
    .replaceAll(/^\s*\*/gm, "")
    .trim()
    .split(/\s+/)
    .join(" ");
  return words.split(/(?<=\.) /)[0] ?? "";
}
