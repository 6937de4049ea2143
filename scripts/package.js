/**
 * Packs both npm packages, checks them with publint and attw, installs them offline in an empty folder
 * and replays a newcomer's first hour there. Everything must be built.
 *
 * usage: node scripts/package.js [folder]    leaves the packages in that folder
 */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { buildGuests, buildMissing, licenseAddon } from "./build.js";
import { checkFirstHour, sh } from "./newcomer.js";
import { ROOT, say } from "./process.js";

const BINDING = join(ROOT, "npm/linux-x64-gnu");

/**
 * Runs every check and returns how many passed and failed. `keep` is a folder to leave the packages
 * in, the other options are those of `checkFirstHour`.
 */
export function checkPackages({ keep, ...options } = {}) {
  say("packages");
  const folder = mkdtempSync(join(tmpdir(), "ampoule-package-"));
  const counts = { passed: 0, failed: 0 };
  const check = (name, work) => {
    try {
      work();
      counts.passed++;
      console.log(`ok    ${name}`);
    } catch (error) {
      counts.failed++;
      console.log(`FAIL  ${name}\n${error.message}`);
    }
  };
  try {
    const packages = {};
    check("both packages pack, with the licences of what is in them", () => {
      licenseAddon();
      packages.main = pack(ROOT, folder);
      packages.binding = pack(BINDING, folder);
      holds(packages.main, ["LICENSE-APACHE", "LICENSE-MIT", "dist/index.js", "dist/index.cjs"]);
      holds(packages.binding, ["LICENSE-APACHE", "LICENSE-MIT", "THIRD-PARTY.md"]);
    });
    check("the addon needs no newer glibc than the documentation says", checkGlibc);
    const bin = (name) => join(ROOT, "node_modules/.bin", name);
    check("publint is clean", () => sh(bin("publint"), [packages.main, "--strict"]));
    check("attw is clean", () => sh(bin("attw"), [packages.main]));
    check("the packages install in an empty folder without a registry", () => {
      install(join(folder, "project"), packages);
    });
    check("the command line runs from the installed packages", () => {
      const project = join(folder, "project");
      sh(join(project, "node_modules/.bin/ampoule"), ["--version"], { cwd: project });
    });
    checkFirstHour(join(folder, "project"), check, options);
    if (keep !== undefined) {
      mkdirSync(keep, { recursive: true });
      for (const tarball of Object.values(packages)) cpSync(tarball, join(keep, basename(tarball)));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return counts;
}

function pack(directory, destination) {
  const args = ["pack", "--json", "--ignore-scripts", "--pack-destination", destination];
  const output = sh("npm", args, { cwd: directory });
  const parsed = JSON.parse(output);
  // npm prints a list, or since version 11.19 an object by name.
  const [{ filename }] = Array.isArray(parsed) ? parsed : Object.values(parsed);
  return join(destination, filename.replace("@", "").replace("/", "-"));
}

/** That a package has those files, and no executable of a guest: their licences are others. */
function holds(tarball, files) {
  const names = sh("tar", ["-tzf", tarball]).trim().split("\n");
  const missing = files.filter((file) => !names.includes(`package/${file}`));
  if (missing.length > 0) throw new Error(`${tarball} lacks ${missing.join(", ")}`);
  const guests = names.filter((name) => name.startsWith("package/guests/"));
  if (guests.length > 0) throw new Error(`${tarball} contains ${guests.join(", ")}`);
}

/** The addon as built, against the page that says what a machine needs, and the package's own word. */
function checkGlibc() {
  const versions = sh("readelf", ["-V", "-W", join(BINDING, "ampoule.linux-x64-gnu.node")]);
  // A weak one need not be there.
  const needs = versions.matchAll(/Name: GLIBC_2\.(\d+)\S* +Flags: none/g);
  const minors = [...needs].map(([, minor]) => Number(minor));
  const page = readFileSync(join(ROOT, "docs/hypervisors.md"), "utf8");
  const [, documented] = /glibc 2\.(\d+)/.exec(page) ?? [];
  if (minors.length === 0 || documented === undefined) throw new Error("no version of glibc found");
  const needed = Math.max(...minors);
  if (needed > Number(documented)) {
    throw new Error(`it needs glibc 2.${needed}, docs/hypervisors.md says 2.${documented}`);
  }
  const { libc } = JSON.parse(readFileSync(join(BINDING, "package.json"), "utf8"));
  if (String(libc) !== "glibc") throw new Error(`the binding's package is for ${libc}`);
}

/** Dependencies come from the repository's own node_modules: nothing is downloaded. */
function install(project, packages) {
  const modules = join(project, "node_modules");
  mkdirSync(join(modules, "@ampoule"), { recursive: true });
  const manifest = { name: "empty", private: true, type: "module" };
  writeFileSync(join(project, "package.json"), JSON.stringify(manifest));
  const tarballs = [packages.main, packages.binding];
  const { dependencies } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  for (const name of Object.keys(dependencies)) {
    tarballs.push(pack(join(ROOT, "node_modules", name), project));
  }
  const flags = ["--offline", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
  sh("npm", ["install", ...flags, ...tarballs], { cwd: project });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [folder] = process.argv.slice(2);
  buildMissing();
  buildGuests();
  const { passed, failed } = checkPackages(folder === undefined ? {} : { keep: resolve(folder) });
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}
