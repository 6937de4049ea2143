/**
 * Writes docs/api, the reference of what `ampoule` exports, from the comments in ts/; or with --check
 * compares. A comment that leads nowhere, or a type that nobody can look up, is an error.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ROOT, tool } from "./process.js";

const FOLDER = join(ROOT, "docs/api");
const MARK = "<!-- Generated from ts/ by `npm run docs:api`. Do not edit. -->\n\n";

/** Whether docs/api is what the sources say. */
export function checkApi() {
  const folder = mkdtempSync(join(tmpdir(), "ampoule-api-"));
  try {
    generate(folder);
    const fresh = pages(folder);
    const present = pages(FOLDER);
    const names = new Set([...fresh.keys(), ...present.keys()]);
    return [...names].every((name) => fresh.get(name) === present.get(name));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function generate(folder) {
  tool("typedoc", ["--out", folder]);
  for (const [name, text] of pages(folder)) writeFileSync(join(folder, name), MARK + text);
}

/** The text of every page, by its path in the folder. */
function pages(folder) {
  const names = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".md"));
  return new Map(names.map((name) => [name, readFileSync(join(folder, name), "utf8")]));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (!process.argv.includes("--check")) generate(FOLDER);
  else if (!checkApi()) {
    console.error("docs/api is not what the comments in ts/ say: run `npm run docs:api`");
    process.exitCode = 1;
  }
}
