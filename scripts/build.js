/**
 * Builds the addon into native/, the TypeScript into dist/ and the guests.
 *
 * usage: node scripts/build.js [--debug] [--if-missing] [addon] [typescript] [guests]
 */
import { chmodSync, copyFileSync, existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { install } from "./install.js";
import { notices } from "./notices.js";
import { newest, ROOT, run, say, tool } from "./process.js";

const ADDON = "ampoule.linux-x64-gnu.node";
const BINDING = join(ROOT, "npm/linux-x64-gnu");

/** Builds the native addon and its loader and declarations. */
export function buildAddon({ debug = false } = {}) {
  say(`building the native addon (${debug ? "debug" : "release"})`);
  tool("napi", [
    "build",
    ...["--manifest-path", "bindings/node/Cargo.toml"],
    ...["--package-json-path", "package.json"],
    ...["--output-dir", "native"],
    ...["--platform", "--js", "index.cjs", "--dts", "index.d.cts", "--no-const-enum"],
    ...(debug ? [] : ["--release"]),
    ...["--", "--locked"],
  ]);
  copyFileSync(join(ROOT, "native", ADDON), join(BINDING, ADDON));
}

/** Puts beside the addon, in its package, the licences of it and of what it is linked from. */
export function licenseAddon() {
  for (const file of ["LICENSE-APACHE", "LICENSE-MIT"]) {
    copyFileSync(join(ROOT, file), join(BINDING, file));
  }
  writeFileSync(join(BINDING, "THIRD-PARTY.md"), notices("bindings/node/Cargo.toml"));
}

/** Compiles `ts/` to `dist/`. */
export function buildTypeScript() {
  say("compiling TypeScript");
  // What was compiled from files that have moved since would be packed, too.
  rmSync(join(ROOT, "dist"), { recursive: true, force: true });
  tool("tsc", ["-p", "tsconfig.build.json"]);
  // A program of its own: it imports what is there after `npm ci` only.
  run(process.execPath, [join(ROOT, "scripts/commonjs.js")]);
  // npm does this for a packed package, but not for one that is linked from its folder.
  chmodSync(join(ROOT, "dist/cli/main.js"), 0o755);
}

/** Builds the guests that ship, and those of the examples and tests. */
export function buildGuests() {
  say("building the guests");
  run("cargo", ["xtask", "guests"]);
}

/** Builds what is not there or older than its sources. */
export function buildMissing() {
  install();
  const sources = ["Cargo.lock", "crates", "bindings"];
  if (newest([`native/${ADDON}`]) < newest(sources)) buildAddon();
  if (!existsSync(join(ROOT, "dist/index.cjs")) || newest(["dist"]) < newest(["ts"]))
    buildTypeScript();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const args = process.argv.slice(2);
  const parts = args.filter((argument) => !argument.startsWith("--"));
  const wants = (part) => parts.length === 0 || parts.includes(part);
  if (args.includes("--if-missing")) {
    buildMissing();
  } else {
    install();
    if (wants("addon")) buildAddon({ debug: args.includes("--debug") });
    if (wants("typescript")) buildTypeScript();
    if (wants("guests")) buildGuests();
  }
}
