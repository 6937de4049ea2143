/** Checks formatting, lints, types and the house rules. */
import { fileURLToPath } from "node:url";
import { install } from "./install.js";
import { run, say, tool } from "./process.js";

/** Checks everything that needs no test to run. */
export function lint() {
  say("rustfmt");
  run("cargo", ["fmt", "--all", "--check"]);
  run("cargo", ["fmt", "--all", "--check", "--manifest-path", "guests/Cargo.toml"]);
  say("clippy");
  run("cargo", ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]);
  say("biome");
  tool("biome", ["check", "."]);
  say("tsc");
  tool("tsc", ["-p", "tsconfig.json"]);
  say("house rules");
  run("cargo", ["xtask", "tidy"]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  install();
  lint();
}
