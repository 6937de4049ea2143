/** Sandboxes in worker threads, and processes that end while sandboxes live. */
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { isDeepStrictEqual, promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { beforeAll, expect, test } from "@jest/globals";
import { HOST_FUNCTIONS, rustGuest } from "./support/guests.js";
import { requireBuild } from "./support/killer.js";
import { describeWithKvm } from "./support/kvm.js";
import { fileDescriptors, threads, virtualMachinesFreed } from "./support/resources.js";

/** Workers and other processes load the compiled package: nothing compiles TypeScript for them. */
const AMPOULE = JSON.stringify(new URL("../dist/index.js", import.meta.url).href);

const PRELUDE = `
  import { readFileSync } from "node:fs";
  import { Sandbox } from ${AMPOULE};
  const names = ${JSON.stringify(Object.keys(HOST_FUNCTIONS))};
  const create = (fetch_number = (id) => id) => Sandbox.create({
    // Read at once: Node.js leaves files open whose opening is under way when a worker is terminated.
    guest: readFileSync(${JSON.stringify(rustGuest("testing"))}), memory: "32MiB",
    hostFunctions: { ...Object.fromEntries(names.map((name) => [name, () => null])), fetch_number },
  });
`;

function worker(code: string): Worker {
  const source = `import { parentPort } from "node:worker_threads"; ${PRELUDE} ${code}`;
  return new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`));
}

/** Runs `code` in a process of its own, which is ended if it hangs. */
function node(code: string): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--input-type=module", "-e", PRELUDE + code],
    { encoding: "utf8", timeout: 60_000 },
  );
  return { status, stdout, stderr };
}

const turn = promisify(setImmediate);

/** Waits until the runners have freed what a thread left behind, for so many turns at most. */
async function expectDescriptors(expected: Record<string, number>): Promise<void> {
  for (let left = 50_000; left > 0 && !isDeepStrictEqual(descriptors(), expected); left--) {
    await turn();
  }
  expect(descriptors()).toEqual(expected);
}

async function descriptorsWithoutSandboxes(): Promise<Record<string, number>> {
  await virtualMachinesFreed();
  return descriptors();
}

function descriptors(): Record<string, number> {
  return Object.fromEntries(fileDescriptors());
}

/** What a worker is in the middle of when it is terminated. */
const BUSY: Readonly<Record<string, string>> = {
  "a call": `
    const sandbox = await create();
    sandbox.call.spin_forever().catch(() => {});
    parentPort.postMessage("busy");
  `,
  "a synchronous call": `
    const sandbox = await create();
    parentPort.postMessage("busy");
    sandbox.callSync.spin_forever({ timeoutMs: Infinity });
  `,
  "a synchronous call behind a host function": `
    const sandbox = await create(() => { parentPort.postMessage("busy"); return 1; });
    sandbox.callSync.sum_via_host(1_000_000_000, { timeoutMs: Infinity });
  `,
  "a host function": `
    const sandbox = await create(() => { parentPort.postMessage("busy"); return new Promise(() => {}); });
    sandbox.call.sum_via_host(1).catch(() => {});
  `,
  "a host function that blocks": `
    const sandbox = await create(() => { parentPort.postMessage("busy"); for (;;); });
    sandbox.callSync.sum_via_host(1);
  `,
  "a sleep": `
    const sandbox = await create();
    // tidy: sleep: the guest does, while its host goes on or ends
    sandbox.call.sleep(1_000_000).catch(() => {});
    parentPort.postMessage("busy");
  `,
  creation: `
    const creations = Array.from({ length: 3 }, () => create().catch(() => {}));
    parentPort.postMessage("busy");
    await Promise.all(creations);
  `,
  "a snapshot": `
    const sandbox = await create();
    sandbox.snapshot().catch(() => {});
    parentPort.postMessage("busy");
  `,
  "a restore": `
    const sandbox = await create();
    await sandbox.call.allocate(20_000_000n);
    sandbox.restore().catch(() => {});
    parentPort.postMessage("busy");
  `,
  nothing: `
    const sandboxes = await Promise.all([create(), create(), create()]);
    parentPort.postMessage("busy");
    setInterval(() => sandboxes.length, 1000);
  `,
};

describeWithKvm("worker threads", () => {
  beforeAll(async () => {
    requireBuild();
    // The first thread starts the runners and opens what stays open.
    const first = worker("const sandbox = await create(); await sandbox.close();");
    await once(first, "exit");
  });

  test("call sandboxes of their own", async () => {
    const code = `
      const sandbox = await create(async (id) => id);
      let sum = 0n;
      for (let round = 0; round < 50; round++) {
        sum += await sandbox.call.sum_via_host(3) + BigInt(sandbox.callSync.add(round, 1));
      }
      await sandbox.close();
      parentPort.postMessage(sum);
    `;
    const sums = Array.from({ length: 4 }, async () => {
      const [[sum]] = await Promise.all([once(worker(code), "message")]);
      return sum as bigint;
    });
    expect(await Promise.all(sums)).toEqual(Array(4).fill(1425n));
  });

  test("end by themselves when their sandboxes are closed", async () => {
    const thread = worker(`
      const sandbox = await create();
      parentPort.postMessage(await sandbox.call.add(1, 2));
      await sandbox.close();
    `);
    const ended = once(thread, "exit");
    expect(await once(thread, "message")).toEqual([3]);
    expect(await ended).toEqual([0]);
  });

  test("end by themselves although a sandbox is open, which is freed", async () => {
    const before = await descriptorsWithoutSandboxes();
    const thread = worker(`
      const sandbox = await create();
      parentPort.postMessage(await sandbox.call.add(1, 2));
      globalThis.kept = sandbox;
    `);
    expect(await once(thread, "exit")).toEqual([0]);
    await expectDescriptors(before);
  });

  test.each(Object.entries(BUSY))("terminated during %s leave nothing behind", async (_, code) => {
    const before = await descriptorsWithoutSandboxes();
    const runners = threads().get("ampoule-runner");
    for (let round = 0; round < 5; round++) {
      const thread = worker(code);
      await once(thread, "message");
      await thread.terminate();
    }
    await expectDescriptors(before);
    expect(threads().get("ampoule-runner")).toBe(runners);
  });

  test("that throw in the middle of a call leave nothing behind", async () => {
    const before = await descriptorsWithoutSandboxes();
    const thread = worker(`
      const sandbox = await create(() => { throw new Error("never handled"); });
      await sandbox.call.sum_via_host(1);
    `);
    const [error] = (await once(thread, "error")) as [{ code?: string; message: string }];
    expect(error.message).toContain("never handled");
    await expectDescriptors(before);
  });
});

describeWithKvm("processes", () => {
  beforeAll(requireBuild);

  test("end by themselves although a sandbox is open", () => {
    expect(
      node("const sandbox = await create(); console.log(sandbox.callSync.add(1, 2));"),
    ).toEqual({ status: 0, stdout: "3\n", stderr: "" });
  });

  test("wait for the calls that run", () => {
    const code = `
      const sandbox = await create();
      sandbox.call.spin(50).then(() => console.log("done"));
      const other = await create();
      // tidy: sleep: the guest does, while its host goes on or ends
      other.call.sleep(50).then(() => console.log("slept"));
    `;
    const { status, stdout } = node(code);
    expect([status, stdout.split("\n").sort()]).toEqual([0, ["", "done", "slept"]]);
  });

  test("can exit in the middle of calls", () => {
    const code = `
      const sandboxes = await Promise.all(Array.from({ length: 8 }, () => create()));
      for (const sandbox of sandboxes) sandbox.call.spin_forever();
      setImmediate(() => process.exit(5));
    `;
    expect(node(code)).toEqual({ status: 5, stdout: "", stderr: "" });
  });

  test("can exit from inside a host function", () => {
    const code =
      "const sandbox = await create(() => process.exit(6)); sandbox.callSync.sum_via_host(1);";
    expect(node(code)).toEqual({ status: 6, stdout: "", stderr: "" });
  });

  test("exit while their workers are in the middle of calls", () => {
    const inner = `${PRELUDE} const sandbox = await create(); postMessage("busy"); sandbox.callSync.spin_forever({ timeoutMs: Infinity });`;
    const url = `data:text/javascript,${encodeURIComponent(
      `import { parentPort } from "node:worker_threads"; const postMessage = (m) => parentPort.postMessage(m); ${inner}`,
    )}`;
    const code = `
      import { Worker } from "node:worker_threads";
      new Worker(new URL(${JSON.stringify(url)})).on("message", () => process.exit(7));
    `;
    expect(node(code)).toEqual({ status: 7, stdout: "", stderr: "" });
  });

  test("are not affected by importing Ampoule", () => {
    const code = `
      import { readdirSync, readFileSync } from "node:fs";
      import ${AMPOULE};
      process.on("exit", () => {
        const names = readdirSync("/proc/self/task").map((id) =>
          readFileSync("/proc/self/task/" + id + "/comm", "utf8"));
        console.log(names.filter((name) => name.startsWith("ampoule")).length);
        console.log(readFileSync("/proc/self/maps", "utf8").includes("ampoule.linux"));
      });
    `;
    const { status, stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", code], {
      encoding: "utf8",
    });
    expect([status, stdout]).toEqual([0, "0\nfalse\n"]);
  });
});
