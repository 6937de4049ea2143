/** Sandboxes that are dropped without `close()`. In a process of its own: Jest keeps objects alive. */
import { spawnSync } from "node:child_process";
import { expect, test } from "@jest/globals";
import { rustGuest } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";

const AMPOULE = new URL("../dist/index.js", import.meta.url).href;

const CODE = `
  import { readdirSync, readlinkSync } from "node:fs";
  import { Sandbox } from ${JSON.stringify(AMPOULE)};
  const names = ["fetch_number", "fetch_user", "log_line", "transform", "describe_values"];
  const hostFunctions = Object.fromEntries(names.map((name) => [name, () => null]));
  const target = (name) => {
    try { return readlinkSync("/proc/self/fd/" + name); } catch { return ""; }
  };
  const machines = () =>
    readdirSync("/proc/self/fd").filter((name) => target(name).includes("kvm-vm")).length;
  let warned = false;
  process.on("warning", ({ code }) => { warned ||= code === "AMPOULE_UNCLOSED_SANDBOX"; });
  await (async () => {
    const guest = ${JSON.stringify(rustGuest("testing"))};
    (await Sandbox.create({ guest, hostFunctions })).callSync.add(1, 1);
  })();
  const during = machines();
  // Collection comes when it comes; the time limit of the process bounds the wait.
  while (!warned || machines() > 0) {
    gc();
    await new Promise(setImmediate);
  }
  console.log(during);
`;

describeWithKvm("a sandbox that was dropped", () => {
  test("is released, with a warning", () => {
    const args = ["--expose-gc", "--input-type=module", "-e", CODE];
    const options = { encoding: "utf8", timeout: 120_000 } as const;
    const { status, stdout, stderr } = spawnSync(process.execPath, args, options);
    expect([status, stdout]).toEqual([0, "1\n"]);
    expect(stderr).toContain('sandbox "testing" was garbage-collected without close()');
  });
});
