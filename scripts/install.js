/** Installs the npm packages of the lock file, unless that has been done since it last changed. */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { ROOT, run, say } from "./process.js";

const marker = join(ROOT, "node_modules/.package-lock.json");
const lock = join(ROOT, "package-lock.json");

/** Makes `node_modules` what the lock file says. */
export function install() {
  if (existsSync(marker) && statSync(marker).mtimeMs >= statSync(lock).mtimeMs) return;
  say("installing npm packages (no install scripts)");
  run("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
}
