/**
 * Runs the benchmarks in Rust and in JavaScript, and writes figures, a table and a plot.
 *
 * usage: npm run bench [-- [--quick | --smoke] [--debug] [--out DIRECTORY] [NAME ...]]
 *
 * A whole run goes to benches/record/<machine>/<date>.*, any other to target/bench/.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { buildGuests, buildMissing } from "../scripts/build.js";
import { ROOT, read, run, say } from "../scripts/process.js";
import { plot } from "./render/plot.js";
import { table } from "./render/table.js";

/** Which program has which benchmark; some names are in both. */
const RUST = ["call", "ping", "trace", "restore", "memory", "create", "snapshot"];
const JAVASCRIPT = ["call", "trace", "restore", "pool", "throughput", "peers", "create"];

const args = process.argv.slice(2);
const take = (name) => {
  const at = args.indexOf(name);
  return at < 0 ? undefined : args.splice(at, 2)[1];
};
const out = take("--out");
const effort = args.filter((argument) => ["--quick", "--smoke"].includes(argument));
const debug = args.includes("--debug");
const names = args.filter((argument) => !argument.startsWith("--"));
const unknown = names.filter((name) => !RUST.includes(name) && !JAVASCRIPT.includes(name));
if (unknown.length > 0) {
  console.error(`unknown benchmark: ${unknown.join(", ")}`);
  console.error(`there are: ${[...new Set([...RUST, ...JAVASCRIPT])].join(", ")}`);
  process.exit(2);
}

build();
const record = measure();
const directory = out ?? folderOf(record.machine);
mkdirSync(directory, { recursive: true });
const file = (extension) => join(directory, `${record.date}.${extension}`);
writeFileSync(file("json"), `${JSON.stringify(record, null, 1)}\n`);
const picture = plot(record);
if (picture !== null) writeFileSync(file("svg"), picture);
writeFileSync(file("md"), table(record, picture === null ? null : `${record.date}.svg`));
say(`written: ${file("md")}`);

function build() {
  const profile = debug ? [] : ["--release"];
  const packages = ["-p", "ampoule-benches", "-p", "ampoule-floors-node"];
  buildMissing();
  buildGuests();
  say("building the benchmarks");
  run("cargo", ["build", "--locked", ...profile, ...packages]);
}

function measure() {
  const target = join(ROOT, "target", debug ? "debug" : "release");
  const temporary = mkdtempSync(join(tmpdir(), "ampoule-bench-"));
  const results = (name) => join(temporary, `${name}.json`);
  const wanted = (known) => names.filter((name) => known.includes(name));
  const load = { before: loadavg()[0] };
  try {
    const parts = [];
    if (names.length === 0 || wanted(RUST).length > 0) {
      say("Rust");
      run(join(target, "bench"), [...effort, "--json", results("rust"), ...wanted(RUST)]);
      parts.push(JSON.parse(readFileSync(results("rust"), "utf8")));
    }
    if (names.length === 0 || wanted(JAVASCRIPT).length > 0) {
      say("JavaScript");
      const main = join(ROOT, "benches/js/main.js");
      const options = ["--expose-gc", main, ...effort, "--json", results("js")];
      const env = { AMPOULE_FLOORS: join(target, "libampoule_floors_node.so") };
      run(process.execPath, [...options, ...wanted(JAVASCRIPT)], { env });
      parts.push(JSON.parse(readFileSync(results("js"), "utf8")));
    }
    const all = (key) => parts.flatMap((part) => part[key] ?? []);
    return {
      date: new Date().toISOString().slice(0, 10),
      effort: effort[0]?.slice(2) ?? "full",
      machine: parts[0].machine ?? machine(join(target, "bench"), results("none")),
      versions: {
        node: process.versions.node,
        v8: process.versions.v8,
        commit: read("git", ["rev-parse", "--short", "HEAD"])?.trim() ?? "unknown",
      },
      load: { ...load, after: loadavg()[0] },
      notes: all("notes"),
      counted: all("counted"),
      measurements: all("measurements"),
    };
  } finally {
    rmSync(temporary, { recursive: true });
  }
}

/** What the program in Rust says of the machine when it measures nothing. */
function machine(bench, file) {
  run(bench, ["--json", file, "--describe"]);
  return JSON.parse(readFileSync(file, "utf8")).machine;
}

function folderOf({ cpu, hypervisor }) {
  if (names.length > 0 || effort.length > 0 || debug) return join(ROOT, "target/bench");
  const slug = `${cpu} ${hypervisor}`.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
  return join(ROOT, "benches/record", slug);
}
