/**
 * The licences of the crates that the native addon is linked from: their texts go with the binary, as they
 * demand.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { read } from "./process.js";

const TEXTS = /^(?:LICEN[CS]E|COPYING|COPYRIGHT|NOTICE)/i;

/** The text of THIRD-PARTY.md for the package in `manifest`. */
export function notices(manifest) {
  const platform = ["--filter-platform", "x86_64-unknown-linux-gnu", "--locked"];
  const flags = ["--format-version", "1", "--manifest-path", manifest, ...platform];
  const metadata = read("cargo", ["metadata", ...flags]);
  if (metadata === null) throw new Error(`cargo metadata fails for ${manifest}`);
  const crates = linked(JSON.parse(metadata));
  const names = crates.map(
    ({ name, version, license, repository }) =>
      `- ${name} ${version}: ${license}, ${repository ?? "no repository named"}`,
  );
  return `${[
    "# Licences of the crates in the native addon",
    `It is linked from these, and from Rust's standard library (Apache-2.0 OR MIT).`,
    names.join("\n"),
    ...distinctTexts(crates).map(({ text, users }) => {
      return `## For ${users.join(", ")}\n\n\`\`\`text\n${text}\n\`\`\``;
    }),
  ].join("\n\n")}\n`;
}

/** Every text once, with the crates that carry it: most are the same but for their line breaks. */
function distinctTexts(crates) {
  const texts = new Map();
  for (const { name, manifest_path } of crates) {
    const folder = dirname(manifest_path);
    const entries = readdirSync(folder, { withFileTypes: true });
    for (const entry of entries.filter((each) => each.isFile() && TEXTS.test(each.name))) {
      const text = readFileSync(join(folder, entry.name), "utf8").trim();
      const key = text.split(/\s+/).join(" ");
      const known = texts.get(key) ?? { text, users: [] };
      if (!known.users.includes(name)) known.users.push(name);
      texts.set(key, known);
    }
  }
  return [...texts.values()];
}

/** The crates of others that code of the root package is linked with, by name. */
function linked({ packages, resolve }) {
  const byId = new Map(packages.map((each) => [each.id, each]));
  const nodes = new Map(resolve.nodes.map((node) => [node.id, node]));
  const reached = new Set();
  const open = [resolve.root];
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    const isMacro = byId.get(id).targets.some(({ kind }) => kind.includes("proc-macro"));
    if (reached.has(id) || isMacro) continue;
    reached.add(id);
    for (const { pkg, dep_kinds } of nodes.get(id).deps) {
      if (dep_kinds.some(({ kind }) => kind === null)) open.push(pkg);
    }
  }
  return [...reached]
    .map((id) => byId.get(id))
    .filter(({ source }) => source !== null)
    .sort((a, b) => a.name.localeCompare(b.name, "en"));
}
