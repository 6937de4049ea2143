/** Checks formatting, lints, types and the house rules. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { api, STALE } from "./api.js";
import { checkDependencies } from "./dependencies.js";
import { install } from "./install.js";
import { ROOT, run, say, tool } from "./process.js";

/** Checks everything that needs no test to run. */
export function lint() {
  say("rustfmt");
  run("cargo", ["fmt", "--all", "--check"]);
  run("cargo", ["fmt", "--all", "--check", "--manifest-path", "guests/Cargo.toml"]);
  say("clippy");
  clippy(ROOT, ["--workspace"]);
  // The guest SDK in its other shapes, and its users: from their folder, whose settings they need.
  clippy(ROOT, ["-p", "ampoule-guest", "--all-features"]);
  clippy(ROOT, ["-p", "ampoule-guest", "--no-default-features"]);
  clippy(join(ROOT, "guests"), ["--workspace"]);
  say("rustdoc");
  // Links to private items are fine where the reader sees those too, and not in what users of the SDK read.
  documentation(["--workspace", "--document-private-items"], "-A rustdoc::private_intra_doc_links");
  documentation(["-p", "ampoule-guest", "-p", "ampoule-guest-macros", "--all-features"]);
  say("biome");
  tool("biome", ["check", "."]);
  say("tsc");
  tool("tsc", ["-p", "tsconfig.json"]);
  say("the API reference");
  if (!api({ check: true })) {
    console.error(STALE);
    process.exit(1);
  }
  say("house rules");
  run("cargo", ["xtask", "tidy"]);
  checkDependencies();
}

function clippy(cwd, args) {
  run("cargo", ["clippy", ...args, "--all-targets", "--locked", "--", "-D", "warnings"], { cwd });
}

/** Every link in the comments leads somewhere. */
function documentation(args, ...flags) {
  const env = { RUSTDOCFLAGS: ["-D warnings", ...flags].join(" ") };
  run("cargo", ["doc", ...args, "--no-deps", "--locked"], { env });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  install();
  lint();
}
