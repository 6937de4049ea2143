/** Sandboxes in worker threads, and processes that end while sandboxes live. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { expect, test } from "@jest/globals";
import { rustGuest } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";

const AMPOULE = new URL("../dist/index.js", import.meta.url).href;

const CREATE = `
  import { Sandbox } from ${JSON.stringify(AMPOULE)};
  const hostFunctions = Object.fromEntries(
    ["fetch_user", "log_line", "transform", "describe_values"].map((name) => [name, () => null]));
  const create = (fetch_number) => Sandbox.create({
    guest: ${JSON.stringify(rustGuest("testing"))}, memory: "32MiB",
    hostFunctions: { ...hostFunctions, fetch_number },
  });
`;

function worker(code: string): Worker {
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(CREATE + code)}`));
}

function node(
  code: string,
  flags: string[] = [],
): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [...flags, "--input-type=module", "-e", CREATE + code], {
    encoding: "utf8",
    timeout: 60_000,
  });
}

describeWithKvm("threads and processes", () => {
  test("several worker threads call their own sandboxes", async () => {
    const code = `
      import { parentPort } from "node:worker_threads";
      const sandbox = await create(async (id) => id);
      let sum = 0n;
      for (let round = 0; round < 50; round++) {
        sum += await sandbox.call.sum_via_host(3) + BigInt(sandbox.callSync.add(round, 1));
      }
      await sandbox.close();
      parentPort.postMessage(sum);
    `;
    const sums = Array.from({ length: 4 }, () => {
      const one = worker(code);
      return new Promise((resolve, reject) => one.on("message", resolve).on("error", reject));
    });
    expect(await Promise.all(sums)).toEqual(Array(4).fill(1425n));
  });

  test("a worker thread that is terminated leaves nothing", async () => {
    const descriptors = (): number => readdirSync("/proc/self/fd").length;
    const code = `
      import { parentPort } from "node:worker_threads";
      const sandboxes = [await create(() => new Promise(() => {})), await create(() => 1)];
      sandboxes[0].call.sum_via_host(1).catch(() => {});
      sandboxes[1].call.spin_forever().catch(() => {});
      parentPort.postMessage("busy");
    `;
    const before = descriptors();
    for (let round = 0; round < 10; round++) {
      const one = worker(code);
      await new Promise((resolve, reject) => one.on("message", resolve).on("error", reject));
      await one.terminate();
    }
    // The runners free them after the thread has gone; the test's time-out bounds the wait.
    while (descriptors() > before) await new Promise(setImmediate);
  });

  test("a process ends by itself although a sandbox is open", () => {
    const { status, stdout } = node(`
      const sandbox = await create(() => 1);
      console.log(sandbox.callSync.add(1, 2));
    `);
    expect([status, stdout]).toEqual([0, "3\n"]);
  });

  test("a process waits for the calls that run", () => {
    const { status, stdout } = node(`
      const sandbox = await create(() => 1);
      sandbox.call.spin(50).then(() => console.log("done"));
    `);
    expect([status, stdout]).toEqual([0, "done\n"]);
  });

  test("a process can exit in the middle of calls", () => {
    const { status, stderr } = node(`
      const sandboxes = await Promise.all(Array.from({ length: 8 }, () => create(() => 1)));
      for (const sandbox of sandboxes) sandbox.call.spin_forever();
      setImmediate(() => process.exit(5));
    `);
    expect([status, stderr]).toEqual([5, ""]);
  });

  test("a sandbox that was dropped is released, with a warning", () => {
    const { status, stdout, stderr } = node(
      `
      import { readdirSync, readlinkSync } from "node:fs";
      const target = (name) => { try { return readlinkSync("/proc/self/fd/" + name); } catch { return ""; } };
      const machines = () => readdirSync("/proc/self/fd").filter((name) => target(name).includes("kvm-vm")).length;
      let warned = false;
      process.on("warning", ({ code }) => { warned ||= code === "AMPOULE_UNCLOSED_SANDBOX"; });
      await (async () => { (await create(() => 1)).callSync.add(1, 1); })();
      const during = machines();
      // Collection comes when it comes; the time limit of the process bounds the wait.
      while (!warned || machines() > 0) {
        gc();
        await new Promise(setImmediate);
      }
      console.log(during);
    `,
      ["--expose-gc"],
    );
    expect([status, stdout]).toEqual([0, "1\n"]);
    expect(stderr).toContain('sandbox "testing" was garbage-collected without close()');
  });

  test("importing Ampoule starts nothing", () => {
    const resources = (before: string): unknown => {
      const code = `${before}; console.log(JSON.stringify(process.getActiveResourcesInfo()));`;
      const args = ["--input-type=module", "-e", code];
      const { stdout } = spawnSync(process.execPath, args, { encoding: "utf8" });
      // Files that were read for the import may still be about to be closed.
      return JSON.parse(stdout).filter((name: string) => name !== "CloseReq");
    };
    expect(resources(`import ${JSON.stringify(AMPOULE)}`)).toEqual(resources(""));
  });
});
