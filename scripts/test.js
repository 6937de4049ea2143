/**
 * Everything that must hold before a change lands: builds what is missing, checks style and types,
 * runs the Rust tests, the Jest tests and the packaging test. The last line is `N passed, N failed`.
 *
 * usage: node scripts/test.js [--only-jest] [jest arguments]
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { buildGuests, buildMissing } from "./build.js";
import { lint } from "./lint.js";
import { checkPackages } from "./package.js";
import { ROOT, read, say } from "./process.js";
import { countRustTests } from "./rust-tests.js";

const args = process.argv.slice(2);
const onlyJest = args.includes("--only-jest");
const jestArgs = args.filter((argument) => argument !== "--only-jest");

buildMissing();
buildGuests();
if (!onlyJest) lint();

const rust = onlyJest ? { passed: 0, failed: 0 } : runRust();
const packages = onlyJest ? { passed: 0, failed: 0 } : checkPackages();
const jest = runJest();
const passed = rust.passed + packages.passed + jest.passed;
const failed = rust.failed + packages.failed + jest.failed;
console.log(`\nRust ${rust.passed}, packages ${packages.passed}, Jest ${jest.passed} passed`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

function runRust() {
  const nextest = read("cargo", ["nextest", "--version"]) !== null;
  const tests = nextest ? ["nextest", "run"] : ["test", "--all-targets"];
  const counts = [
    cargoTest("Rust tests", [...tests, "--workspace", "--locked", "--no-fail-fast"]),
    cargoTest("examples in the documentation", ["test", "--doc", "--workspace", "--locked"]),
    cargoTest("fuzz targets, on their corpora", ["xtask", "fuzz", "--entry-points"]),
  ];
  return {
    passed: counts.reduce((sum, { passed }) => sum + passed, 0),
    failed: counts.reduce((sum, { failed }) => sum + failed, 0),
  };
}

/** Runs tests by cargo and counts them; what it printed is shown if something failed. */
function cargoTest(name, args) {
  say(name);
  const options = { cwd: ROOT, encoding: "utf8", maxBuffer: 2 ** 28 };
  const { stdout, stderr, status } = spawnSync("cargo", args, options);
  const counts = countRustTests(stdout + stderr, status);
  if (counts.failed > 0) process.stdout.write(stdout + stderr);
  console.log(`${counts.passed} passed`);
  return counts;
}

function runJest() {
  say("Jest tests");
  const jest = join(ROOT, "node_modules/jest/bin/jest.js");
  const { stdout, status } = spawnSync(
    process.execPath,
    ["--expose-gc", "--experimental-vm-modules", "--no-warnings", jest, ...jestArgs],
    { cwd: ROOT, stdio: ["inherit", "pipe", "inherit"], encoding: "utf8", maxBuffer: 2 ** 28 },
  );
  process.stdout.write(stdout);
  const [, ok, bad] = /(\d+) passed, (\d+) failed\s*$/.exec(stdout) ?? [];
  const counts = { passed: Number(ok ?? 0), failed: Number(bad ?? 1) };
  if (status !== 0 && counts.failed === 0) counts.failed = 1;
  return counts;
}
