/**
 * Packs both npm packages, checks them with publint and attw, installs them offline in an empty
 * folder and runs the README's example there. Everything must be built.
 */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildMissing } from "./build.js";
import { ROOT, say } from "./process.js";

/** Runs every check and returns how many passed and failed. */
export function checkPackages() {
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
    check("both packages pack", () => {
      packages.main = pack(ROOT, folder);
      packages.binding = pack(join(ROOT, "npm/linux-x64-gnu"), folder);
    });
    const bin = (name) => join(ROOT, "node_modules/.bin", name);
    check("publint is clean", () => sh(bin("publint"), [packages.main, "--strict"]));
    check("attw is clean", () => sh(bin("attw"), [packages.main]));
    check("the packages install in an empty folder without a registry", () => {
      install(join(folder, "project"), packages);
    });
    check("the README's example runs from the installed packages", () => {
      runExample(join(folder, "project"));
    });
    check("the command line runs from the installed packages", () => {
      const project = join(folder, "project");
      sh(join(project, "node_modules/.bin/ampoule"), ["--version"], { cwd: project });
    });
    check("a new project finds the guest SDK in the installed package", () => {
      const project = join(folder, "project");
      sh(join(project, "node_modules/.bin/ampoule"), ["new", "hello"], { cwd: project });
      symlinkSync(join(project, "node_modules"), join(project, "hello/node_modules"));
      sh("cargo", ["generate-lockfile", "--offline"], { cwd: join(project, "hello/guest") });
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return counts;
}

function sh(command, args, options = {}) {
  const result = spawnSync(command, args, { encoding: "utf8", ...options });
  if (result.status === 0) return result.stdout;
  const why = result.error?.message ?? result.stdout + result.stderr;
  throw new Error(`${command} ${args.join(" ")}\n${why}`);
}

function pack(directory, destination) {
  const args = ["pack", "--json", "--ignore-scripts", "--pack-destination", destination];
  const output = sh("npm", args, { cwd: directory });
  const parsed = JSON.parse(output);
  // npm prints a list, or since version 11.19 an object by name.
  const [{ filename }] = Array.isArray(parsed) ? parsed : Object.values(parsed);
  return join(destination, filename.replace("@", "").replace("/", "-"));
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

/** The README's first block of JavaScript or TypeScript, as it stands there. */
function runExample(project) {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const [, code] = /```(?:js|ts|javascript|typescript)\n([\s\S]*?)```/.exec(readme) ?? [];
  if (code === undefined) throw new Error("README.md has no example");
  const busybox = "/bin/busybox";
  const program = existsSync(busybox) ? busybox : join(ROOT, "guests/target/c/hello-glibc");
  if (program !== busybox) console.log(`SKIPPED: ${busybox} is missing, the example runs another`);
  writeFileSync(join(project, "example.mjs"), code.replaceAll(busybox, program));
  const output = sh(process.execPath, ["example.mjs"], { cwd: project });
  if (output.trim() === "") throw new Error("the example printed nothing");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  buildMissing();
  const { passed, failed } = checkPackages();
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}
