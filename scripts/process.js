/** Running programs from the repository's scripts. Plain Node.js: works before `npm ci`. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's root. */
export const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Runs a program in the repository's root; the script ends with its exit code if that is not 0. */
export function run(command, args, options = {}) {
  const { status, error, signal } = spawnSync(command, args, {
    cwd: ROOT,
    stdio: "inherit",
    ...options,
    env: { ...process.env, ...options.env },
  });
  if (status === 0) return;
  const why = error?.message ?? (signal === null ? `exit code ${status}` : `signal ${signal}`);
  console.error(`failed: ${[command, ...args].join(" ")} (${why})`);
  process.exit(status || 1);
}

/** Runs a program and returns what it prints, or `null` if it cannot be run or fails. */
export function read(command, args) {
  const { status, stdout } = spawnSync(command, args, { cwd: ROOT, encoding: "utf8" });
  return status === 0 ? stdout : null;
}

/** Runs a tool that npm has installed. */
export function tool(name, args, options) {
  run(join(ROOT, "node_modules/.bin", name), args, options);
}

/** Prints what comes next. */
export function say(text) {
  console.log(`\n> ${text}`);
}

/** The time of the newest file below `paths`; directories of build products are left out. */
export function newest(paths) {
  let time = 0;
  for (const path of paths) {
    const full = join(ROOT, path);
    if (!existsSync(full)) continue;
    const status = statSync(full);
    if (!status.isDirectory()) {
      time = Math.max(time, status.mtimeMs);
      continue;
    }
    for (const entry of readdirSync(full)) {
      if (entry === "target" || entry === "node_modules" || entry.startsWith(".")) continue;
      time = Math.max(time, newest([join(path, entry)]));
    }
  }
  return time;
}
