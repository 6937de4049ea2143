/**
 * Completes package-lock.json, after a change of dependencies, with the packages for other platforms
 * that npm left out: it does so when the registry at hand does not offer them, and then `npm ci`
 * refuses the lock file. They are never installed here; what matters is that they are named.
 *
 * usage: node scripts/lock.js
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./process.js";

const SYSTEMS = [
  "aix",
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
];
const PROCESSORS = [
  "arm64",
  "arm",
  "ia32",
  "loong64",
  "ppc64",
  "riscv64",
  "s390x",
  "x64",
  "wasm32",
];

const file = join(ROOT, "package-lock.json");
const lock = JSON.parse(readFileSync(file, "utf8"));
const added = [];
for (const [path, { optionalDependencies = {}, dev }] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies)) {
    if (isLocked(path, name)) continue;
    added.push(name);
    lock.packages[`node_modules/${name}`] = {
      version,
      ...platformOf(name),
      ...(dev === true ? { dev } : {}),
      optional: true,
    };
  }
}
lock.packages = Object.fromEntries(
  Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, "en")),
);
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`added ${added.length} packages`);

/** Whether `name`, as the package at `path` sees it, has an entry. */
function isLocked(path, name) {
  for (let from = path; ; from = from.slice(0, Math.max(from.lastIndexOf("/node_modules/"), 0))) {
    if (`${from === "" ? "" : `${from}/`}node_modules/${name}` in lock.packages) return true;
    if (from === "") return false;
  }
}

/** The platform that a package is for, by its name: npm installs it nowhere else. */
function platformOf(name) {
  const words = name.split(/[-/]/);
  const system = SYSTEMS.find((each) => words.includes(each)) ?? (/win32/.test(name) && "win32");
  const processor = PROCESSORS.find((each) => words.includes(each));
  if (!system && !processor) throw new Error(`${name} is missing and names no platform`);
  return {
    ...(processor ? { cpu: [processor] } : {}),
    ...(system === "linux" && /-musl/.test(name) ? { libc: ["musl"] } : {}),
    ...(system === "linux" && /-gnu/.test(name) ? { libc: ["glibc"] } : {}),
    ...(system ? { os: [system] } : {}),
  };
}
