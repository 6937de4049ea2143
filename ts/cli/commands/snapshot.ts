/** `ampoule snapshot`: initialised guests as files. */
import type { Command } from "commander";
import { DEFAULT_TAG } from "../../internal/store.js";
import { DEFAULTS } from "../../options.js";
import { Sandbox } from "../../sandbox.js";
import { roundSize } from "../../sizes.js";
import {
  inspectStore,
  inspectTag,
  pruneStore,
  type SavedLayer,
  type StoredSnapshot,
  verifyStore,
} from "../../store.js";
import { importFunctions } from "../callee.js";
import { ExitCode } from "../exit-codes.js";
import { notes } from "../help.js";
import { ABSENT_FUNCTIONS } from "../interfaces.js";
import { addGuestOptions, type GuestFlags, guestOptions, pair } from "../options.js";
import { printJson, printText } from "../output.js";

export function addSnapshot(program: Command): void {
  const snapshot = program
    .command("snapshot")
    .description("save initialised guests to a store, and look at what a store holds")
    .enablePositionalOptions();
  addSave(snapshot);
  addInspect(snapshot);
  addVerify(snapshot);
  addPrune(snapshot);
}

type SaveFlags = GuestFlags & {
  readonly tag: string;
  readonly metadata?: Record<string, string>;
  readonly hostFunctions?: string;
  readonly json?: boolean;
};

function addSave(snapshot: Command): void {
  const command = snapshot
    .command("save")
    .description("start a guest, and save it as it is when it is ready")
    .argument("<guest>", "a guest built with the guest SDK")
    .argument("<store>", "directory of the store; made if it does not exist")
    .option("--tag <tag>", "name to load it by", DEFAULT_TAG)
    .option("--metadata <name=value>", "kept with the snapshot; repeatable", pair("name=value"))
    .option("--host-functions <module>", "ES module whose exports the guest may call at its start")
    .option("--json", "report what was written as JSON")
    .addHelpText(
      "after",
      notes(`
Example:
  ampoule snapshot save ./greeter store --tag v1 --memory 64MiB`),
    );
  addGuestOptions(command).action(save);
}

async function save(guest: string, store: string, flags: SaveFlags): Promise<void> {
  await using sandbox = await Sandbox.create({
    guest,
    hostFunctions:
      flags.hostFunctions === undefined
        ? ABSENT_FUNCTIONS
        : await importFunctions(flags.hostFunctions),
    ...guestOptions(flags, DEFAULTS),
  });
  using snapshot = await sandbox.snapshot();
  const saved = await snapshot.save(store, { tag: flags.tag, metadata: flags.metadata ?? {} });
  if (flags.json) {
    printJson(saved);
    return;
  }
  printText(`${saved.tag}: ${saved.digest}, ${roundSize(saved.newBytes)} new in ${store}`);
}

function addInspect(snapshot: Command): void {
  snapshot
    .command("inspect")
    .description("show the snapshots of a store")
    .argument("<store>", "directory of the store")
    .option("--tag <tag>", "only this one, in full")
    .option("--json", "print the report as JSON")
    .action(async (store: string, flags: { tag?: string; json?: boolean }) => {
      const found =
        flags.tag === undefined ? await inspectStore(store) : await inspectTag(store, flags.tag);
      if (flags.json) printJson(found);
      else if (!Array.isArray(found)) printText(inFull(found as StoredSnapshot));
      else if (found.length === 0) printText("The store is empty.");
      else printText(found.map(inShort).join("\n"));
    });
}

function inShort({ tag, digest, name, memoryBytes, layers }: StoredSnapshot): string {
  const kept = layers.some(({ kind }) => kind === "pages") ? "changes of a base" : "a base";
  const short = digest.slice(0, "sha256:".length + 12);
  return `${tag}  ${short}  ${name}, ${roundSize(memoryBytes)} of memory, ${kept}`;
}

function inFull(snapshot: StoredSnapshot): string {
  const { limits, processor, layers, metadata } = snapshot;
  const facts: [string, string][] = [
    ["tag", snapshot.tag],
    ["digest", snapshot.digest],
    ["guest", snapshot.name],
    ["guest ABI", snapshot.abiVersion],
    ["processor", `${snapshot.architecture}, ${processor.hypervisor}, XCR0 ${processor.xcr0}`],
    ["exports", snapshot.exports.join(", ")],
    ["host functions", snapshot.requiredHostFunctions.join(", ") || "none"],
    ["memory", `${roundSize(snapshot.memoryBytes)} of ${roundSize(limits.memoryBytes)}`],
    ...Object.entries(metadata).map(([key, value]): [string, string] => [`(${key})`, value]),
    ...layers.map((layer): [string, string] => ["layer", describeLayer(layer)]),
  ];
  const width = Math.max(...facts.map(([name]) => name.length));
  return facts.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join("\n");
}

function describeLayer({ kind, digest, bytes }: SavedLayer): string {
  return `${kind}, ${roundSize(bytes)}, ${digest}`;
}

function addVerify(snapshot: Command): void {
  snapshot
    .command("verify")
    .description("check every digest and every document of a store")
    .argument("<store>", "directory of the store")
    .option("--json", "print the findings as JSON")
    .action(async (store: string, flags: { json?: boolean }) => {
      const findings = await verifyStore(store);
      const lines = findings.map(
        ({ tag, problem }) =>
          `${problem === null ? "ok  " : "FAIL"}  ${tag}${problem === null ? "" : `  ${problem.message}`}`,
      );
      if (flags.json) printJson(findings);
      else printText(lines.join("\n") || "The store is empty.");
      const sound = findings.every(({ problem }) => problem === null);
      process.exitCode = sound ? ExitCode.success : ExitCode.failure;
    });
}

function addPrune(snapshot: Command): void {
  snapshot
    .command("prune")
    .description("remove what no snapshot of a store needs")
    .argument("<store>", "directory of the store")
    .option("--json", "print what was removed as JSON")
    .action(async (store: string, flags: { json?: boolean }) => {
      const pruned = await pruneStore(store);
      if (flags.json) printJson(pruned);
      else printText(`${pruned.blobs} blobs with ${roundSize(pruned.bytes)} removed`);
    });
}
