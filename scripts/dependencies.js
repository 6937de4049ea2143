/**
 * Checks the licences and sources of all that Ampoule is built with: the Cargo workspaces with
 * `cargo deny`, where that is installed, and the npm packages by what they say themselves.
 *
 * usage: node scripts/dependencies.js [--advisories]    with the databases of known vulnerabilities
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { install } from "./install.js";
import { ROOT, read, run, say } from "./process.js";

/** What may be built into a work under Apache-2.0 and MIT, as in deny.toml. */
const LINKED = [
  "(MIT OR CC0-1.0)",
  "0BSD",
  "Apache-2.0",
  "Apache-2.0 AND MIT",
  "Apache-2.0 OR MIT",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "BlueOak-1.0.0",
  "ISC",
  "MIT",
  "MIT OR Apache-2.0",
];

/** What may be used for development besides: permissive, or data that nothing of ours contains. */
const USED = [...LINKED, "CC-BY-4.0", "PSF-2.0", "Python-2.0"];

/** Checks everything; the script ends with an exit code if something is not in order. */
export function checkDependencies({ advisories = false } = {}) {
  say("dependencies");
  checkCargo(advisories);
  const refused = refusedPackages();
  for (const line of refused) console.error(line);
  if (refused.length > 0) process.exit(1);
  if (advisories) run("npm", ["audit", "--omit=dev", "--audit-level=moderate"]);
}

function checkCargo(advisories) {
  if (read("cargo", ["deny", "--version"]) === null) {
    console.warn("SKIPPED: cargo-deny is missing (`cargo install cargo-deny --locked`);");
    console.warn("SKIPPED: the licences and sources of crates were not checked");
    return;
  }
  const what = ["licenses", "bans", "sources", ...(advisories ? ["advisories"] : [])];
  // One workspace for each lock file, so that none is forgotten.
  const locks = read("git", ["ls-files", "Cargo.lock", "*/Cargo.lock"]).trim().split("\n");
  for (const lock of locks) {
    const manifest = lock.replace(/lock$/, "toml");
    const flags = ["--log-level", "error", "--all-features", "--locked"];
    const paths = ["--manifest-path", manifest, "--config", join(ROOT, "deny.toml")];
    run("cargo", ["deny", ...flags, ...paths, "check", ...what]);
  }
}

/** One line for each npm package of the lock file whose licence is not in its list. */
function refusedPackages() {
  const { packages } = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8"));
  const refused = [];
  for (const [path, { dev = false }] of Object.entries(packages)) {
    const manifest = join(ROOT, path, "package.json");
    // Those for other platforms are not installed; each has a sibling that is.
    if (path === "" || !existsSync(manifest)) continue;
    const { name, version, license } = JSON.parse(readFileSync(manifest, "utf8"));
    if ((dev ? USED : LINKED).includes(license)) continue;
    refused.push(
      `${name} ${version}: licence ${JSON.stringify(license)}, not in the list of scripts/dependencies.js`,
    );
  }
  return refused;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  install();
  checkDependencies({ advisories: process.argv.includes("--advisories") });
}
