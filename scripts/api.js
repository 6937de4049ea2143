/**
 * Writes docs/api, the reference of what `ampoule` exports, from the comments in ts/; or with --check
 * compares. A comment that leads nowhere, or a type that nobody can look up, is an error.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ROOT, tool } from "./process.js";

const FOLDER = join(ROOT, "docs/api");
const MARK = "<!-- Generated from ts/ by `npm run docs:api`. Do not edit. -->\n\n";

export const STALE = "docs/api is not what the comments in ts/ say: run `npm run docs:api`";

/** Pages of options and of the details of errors: nobody can guess what these are for. */
const EXPLAINED = /^interfaces.\w*(?:Options|Limits|Settings|Size|Details|DetailsByCode)\.md$/;

/** Writes docs/api anew, or with `check` says whether it is what the sources say. */
export function api({ check = false } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "ampoule-api-"));
  try {
    const fresh = generate(folder);
    const present = existsSync(FOLDER) ? pages(FOLDER) : new Map();
    const names = new Set([...fresh.keys(), ...present.keys()]);
    if ([...names].every((name) => fresh.get(name) === present.get(name))) return true;
    if (check) return false;
    rmSync(FOLDER, { recursive: true, force: true });
    for (const [name, text] of fresh) {
      mkdirSync(dirname(join(FOLDER, name)), { recursive: true });
      writeFileSync(join(FOLDER, name), text);
    }
    return true;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The text of every page, by its path. */
function generate(folder) {
  tool("typedoc", ["--out", folder]);
  const found = pages(folder);
  const silent = [...found]
    .filter(([name]) => EXPLAINED.test(name))
    .flatMap(([name, text]) => undocumented(text).map((each) => `${name}: ${each}`));
  if (silent.length > 0) {
    console.error(`say in ts/ what these are for:\n  ${silent.join("\n  ")}`);
    process.exit(1);
  }
  return new Map([...found].map(([name, text]) => [name, MARK + text]));
}

/** The properties that may be given and that nothing is said about. */
function undocumented(page) {
  const lines = page.split("\n");
  const head = lines.find((line) => line.startsWith("| Property |"));
  const names = cells(head ?? "");
  const said = names.indexOf("Description");
  const type = names.indexOf("Type");
  return lines.flatMap((line) => {
    // A property, or one inside of one: `ERR_AMPOULE_STORE.errno`, where the code alone says enough.
    const [, name] = /^\| (?:<a id="property-[^"]*"><\/a> )?`([\w.]+)\??` \|/.exec(line) ?? [];
    if (name === undefined || /^ERR_\w+$/.test(name)) return [];
    const row = cells(line);
    // What may not be given needs no explanation.
    return (row[said] ?? "-") === "-" && row[type] !== "`undefined`" ? [name] : [];
  });
}

/** The cells of a line of a table; one may have `\|` in it. */
function cells(line) {
  return line
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim());
}

function pages(folder) {
  const names = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".md"));
  return new Map(names.map((name) => [name, readFileSync(join(folder, name), "utf8")]));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (!api({ check: process.argv.includes("--check") })) {
    console.error(STALE);
    process.exitCode = 1;
  }
}
