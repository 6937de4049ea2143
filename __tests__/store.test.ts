/** Snapshots on disk: saved by one process, loaded by another, and never half. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { inspectStore, pruneStore, Sandbox, Snapshot, verifyStore } from "../ts/index.js";
import { async, failureOf, HOST_FUNCTIONS, rustGuest, testing } from "./support/guests.js";
import { requireBuild } from "./support/killer.js";
import { describeWithKvm } from "./support/kvm.js";

let scratch: string;
let store: string;
const children = new Set<ChildProcess>();

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), "ampoule-store-"));
  store = join(scratch, "store");
});

afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  children.clear();
  rmSync(scratch, { recursive: true, force: true });
});

/** Runs a program of `support/` in a process of its own; its lines are JSON. */
function start(program: string, ...args: string[]): ChildProcess {
  requireBuild();
  const url = new URL(`./support/${program}`, import.meta.url);
  const stdio = ["ignore", "pipe", "inherit"] as const;
  const child = spawn(process.execPath, ["--expose-gc", url.pathname, ...args], {
    stdio: [...stdio],
  });
  children.add(child);
  return child;
}

/** What a program says, when it ends well. */
async function run(program: string, ...args: string[]): Promise<Record<string, unknown>[]> {
  const child = start(program, ...args);
  const lines: Record<string, unknown>[] = [];
  const reader = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  reader.on("line", (line) => lines.push(JSON.parse(line) as Record<string, unknown>));
  const [code] = (await once(child, "close")) as [number | null];
  expect(code).toBe(0);
  return lines;
}

async function saved(tag: string): Promise<void> {
  const sandbox = await testing();
  const snapshot = await sandbox.snapshot();
  await snapshot.save(store, { tag });
  snapshot.close();
}

/** Loads a snapshot and calls `counter` of a sandbox of it. */
async function count(tag: string): Promise<unknown> {
  const snapshot = await Snapshot.load(store, { tag });
  const sandbox = await Sandbox.create({ snapshot, hostFunctions: HOST_FUNCTIONS });
  snapshot.close();
  try {
    return await async(sandbox, "counter")();
  } finally {
    await sandbox.close();
  }
}

describeWithKvm("snapshots on disk", () => {
  test("another process answers its first call without initialising, over mapped memory", async () => {
    const [saver] = await run("store-saver.mjs", store, rustGuest("testing"), "64");
    const [report] = await run("store-loader.mjs", store);
    expect(report).toMatchObject({
      sum: saver?.["sum"],
      initialisations: 0,
      systemCalls: {},
      metadata: { saver: "test" },
    });
    // 64 MiB of the guest's were read, and next to nothing of them was copied.
    const { mappedKiB, privateKiB } = report as Record<string, number>;
    console.info(`${mappedKiB} KiB of the base are mapped, ${privateKiB} KiB of them are private`);
    expect(mappedKiB).toBeGreaterThan(60_000);
    expect(privateKiB).toBeLessThan(2_000);
  });

  test("a snapshot that comes from a saved one takes only its changes", async () => {
    const sandbox = await testing();
    await async(sandbox, "hold_pages")(2000);
    using base = await sandbox.snapshot();
    const metadata = { step: "1", ["__proto__"]: "a key", constructor: "another" };
    const first = await base.save(store, { tag: "first", metadata });
    expect(first).toMatchObject({ tag: "first", newBytes: expect.any(Number) });
    expect(first.layers.map(({ kind }) => kind)).toEqual(["base", "interface", "executable"]);
    await async(sandbox, "mark_pages")(100n, 7);
    using changed = await sandbox.snapshot();
    const second = await changed.save(pathToFileURL(store), { tag: "second" });
    expect(second.layers.map(({ kind }) => kind)).toContain("pages");
    expect(second.layers[0]).toEqual(first.layers[0]);
    expect(second.newBytes).toBeLessThan(first.newBytes / 4);
    const [one, two] = await inspectStore(store);
    expect(one).toMatchObject({ tag: "first", name: "testing" });
    expect(Object.entries(one?.metadata ?? {}).sort()).toEqual(Object.entries(metadata).sort());
    expect(two?.requiredHostFunctions).toContain("fetch_number");
    // Saved again, a tag says something else, and what nothing says any more can go.
    await changed.save(store, { tag: "first" });
    expect((await pruneStore(store)).blobs).toBeGreaterThan(0);
    expect((await verifyStore(store)).map(({ tag, problem }) => [tag, problem])).toEqual([
      ["second", null],
      ["first", null],
    ]);
  });

  test("a loaded snapshot is like any other", async () => {
    await saved("latest");
    using snapshot = await Snapshot.load(store);
    const original = await testing();
    expect(snapshot.interface).toEqual(original.interface);
    const make = () => Sandbox.create({ snapshot, hostFunctions: HOST_FUNCTIONS });
    await using sandbox = await make();
    await using fork = await (await make()).fork();
    for (const each of [sandbox, fork]) {
      expect(await async(each, "counter")()).toBe(1n);
      await each.restore();
      expect(await async(each, "counter")()).toBe(1n);
      expect(await async(each, "sum_via_host")(4)).toEqual(expect.anything());
    }
    await original.restore(snapshot);
    expect(await async(original, "counter")()).toBe(1n);
    expect(await failureOf(() => Sandbox.create({ snapshot }))).toMatchObject({
      code: "ERR_AMPOULE_MISSING_HOST_FUNCTION",
    });
  });

  test("two processes that save at once lose nothing", async () => {
    const savers = ["one", "two"].map((name) =>
      run("store-repeater.mjs", store, rustGuest("testing"), name, "20"),
    );
    await Promise.all(savers);
    const tags = (await inspectStore(store)).map(({ tag }) => tag);
    const expected = ["one", "two"].flatMap((name) =>
      Array.from({ length: 20 }, (_, i) => `${name}-${i}`),
    );
    expect(tags.sort()).toEqual([...expected, "shared"].sort());
    expect((await verifyStore(store)).filter(({ problem }) => problem !== null)).toEqual([]);
    expect(await count("one-19")).toBe(21n);
    expect(await count("two-7")).toBe(9n);
  });

  test("mistakes are told, and change nothing", async () => {
    const sandbox = await testing();
    const snapshot = await sandbox.snapshot();
    const invalid = { code: "ERR_AMPOULE_INVALID_ARGUMENT" };
    for (const work of [
      () => snapshot.save(""),
      () => snapshot.save(1 as never),
      () => snapshot.save(new URL("https://example.org/")),
      () => snapshot.save(store, { tag: "a b" }),
      () => snapshot.save(store, { tag: 1 as never }),
      () => snapshot.save(store, { metadata: { a: 1 } as never }),
      () => snapshot.save(store, { metadata: { a: "x".repeat(70_000) } }),
      () => snapshot.save(store, { signal: {} as never }),
      () => Snapshot.load(store, { verify: 1 as never }),
      () => Snapshot.load(store, { tag: {} as never }),
    ]) {
      expect(await failureOf(work)).toMatchObject(invalid);
    }
    const aborted = AbortSignal.abort(new Error("not now"));
    expect(await failureOf(() => snapshot.save(store, { signal: aborted }))).toMatchObject({
      code: "ERR_AMPOULE_ABORTED",
      cause: aborted.reason,
    });
    expect(() => statSync(store)).toThrow("ENOENT");
    for (const work of [() => Snapshot.load(store), () => inspectStore(store)]) {
      expect(await failureOf(work)).toMatchObject({ code: "ERR_AMPOULE_SNAPSHOT_NOT_FOUND" });
    }
    writeFileSync(join(scratch, "file"), "");
    expect(await failureOf(() => snapshot.save(join(scratch, "file", "store")))).toMatchObject({
      code: "ERR_AMPOULE_STORE",
      details: { operation: "make", errno: expect.any(Number) },
    });
    snapshot.close();
    expect(await failureOf(() => snapshot.save(store))).toMatchObject({
      code: "ERR_AMPOULE_CLOSED",
    });
  });

  test("a save can be cancelled while it waits for others", async () => {
    await saved("kept");
    const sandbox = await testing();
    using snapshot = await sandbox.snapshot();
    // What a saver that never ends would do.
    const holder = spawn("flock", [join(store, ".saving"), "sh", "-c", "echo held; cat"]);
    await once(createInterface({ input: holder.stdout }), "line");
    const controller = new AbortController();
    const saving = snapshot.save(store, { tag: "late", signal: controller.signal });
    controller.abort(new Error("enough"));
    expect(await failureOf(() => saving)).toMatchObject({
      code: "ERR_AMPOULE_ABORTED",
      cause: controller.signal.reason,
    });
    holder.stdin.end();
    await once(holder, "close");
    expect((await inspectStore(store)).map(({ tag }) => tag)).toEqual(["kept"]);
  });

  test("damage in any file is a typed error", async () => {
    await saved("latest");
    const blobs = join(store, "blobs/sha256");
    const files = [
      ...readdirSync(blobs).map((name) => join(blobs, name)),
      join(store, "index.json"),
    ];
    for (const file of files) {
      const bytes = readFileSync(file);
      for (const damage of [
        () => bytes.subarray(0, bytes.length >> 1),
        () => Buffer.alloc(bytes.length),
        () => Buffer.from(bytes).fill(0x5a, bytes.length >> 1, (bytes.length >> 1) + 1),
      ]) {
        rmSync(file);
        writeFileSync(file, damage());
        const failure = await failureOf(() => Snapshot.load(store));
        expect(failure).toMatchObject({ code: "ERR_AMPOULE_CORRUPT_SNAPSHOT" });
        expect(failure["details"]).toMatchObject({
          file: expect.any(String),
          what: expect.any(String),
        });
      }
      rmSync(file);
      writeFileSync(file, bytes);
    }
    const config = (await inspectStore(store))[0];
    expect(config?.layers.length).toBe(3);
    (await Snapshot.load(store, { verify: false })).close();
  });
});
