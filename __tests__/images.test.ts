/** The image of a guest: initialised once in a process, and shared by the sandboxes that follow. */
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import type { SandboxOptions } from "../ts/index.js";
import { failureOf, sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { count } from "./support/snapshots.js";

describeWithKvm("the image of a guest", () => {
  test("is initialised once for all that the guest can see", async () => {
    const written: string[] = [];
    const options = {
      stdout: (chunk: Uint8Array) => void written.push(Buffer.from(chunk).toString()),
      env: { TESTING_INIT: "print" },
      args: ["image"],
    };
    const first = await testing(options);
    const others = await Promise.all([testing(options), testing({ ...options, stdin: "x" })]);
    expect([first, ...others].map(({ statistics }) => statistics.initialisations)).toEqual([
      1, 0, 0,
    ]);
    expect(written.join("")).toBe("initialising\n");
    for (const each of [first, ...others]) {
      expect(sync(each, "was_prepared")()).toBe(true);
      expect(sync(each, "args")()).toEqual(["testing", "image"]);
    }
    const changes: Partial<SandboxOptions>[] = [
      { args: ["other"] },
      { env: { TESTING_INIT: "" } },
      { memory: "128MiB" },
      { name: "other" },
      { files: { "/a": new Uint8Array(3) } },
      { limits: { stack: "1MiB" } },
      { limits: { message: "1MiB" } },
    ];
    for (const change of changes) {
      const { statistics } = await testing({ ...options, ...change });
      expect(statistics.initialisations).toBe(1);
    }
    const { statistics } = await testing({ ...options, limits: { output: 5, hostCalls: 1 } });
    expect(statistics.initialisations).toBe(0);
  });

  test("is not kept when the guest has read its input", async () => {
    const counts = [];
    for (const stdin of ["a", "b", "a"]) {
      const sandbox = await testing({ stdin, env: { TESTING_INIT: "read" } });
      counts.push(count(sandbox), sandbox.statistics.initialisations);
      await sandbox.restore();
      expect(count(sandbox)).toBe(counts.at(-2));
    }
    expect(counts).toEqual([98n, 1, 99n, 1, 98n, 1]);
  });

  test("is not kept when the guest failed", async () => {
    for (let round = 0; round < 3; round++) {
      expect(await failureOf(() => testing({ env: { TESTING_INIT: "panic" } }))).toMatchObject({
        code: "ERR_AMPOULE_GUEST_ABORT",
      });
    }
  });

  test("is another when a file has changed", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ampoule-"));
    try {
      const path = join(folder, "file");
      for (const text of ["one", "two", "one", "three"]) {
        writeFileSync(path, text);
        const sandbox = await testing({ files: { "/file": { path } } });
        expect(Buffer.from(sync(sandbox, "read_file")("/file") as Uint8Array).toString()).toBe(
          text,
        );
      }
      // Long unchanged: the second time it is known without being read.
      utimesSync(path, 1000, 1000);
      for (let round = 0; round < 3; round++) {
        const sandbox = await testing({ files: { "/file": { path } } });
        expect(Buffer.from(sync(sandbox, "read_file")("/file") as Uint8Array).toString()).toBe(
          "three",
        );
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("is made by many at once without harm", async () => {
    const args = ["at once"];
    const sandboxes = await Promise.all(Array.from({ length: 20 }, () => testing({ args })));
    expect(sandboxes.map(count)).toEqual(Array(20).fill(1n));
    for (const sandbox of sandboxes) sandbox.restoreSync();
    expect(sandboxes.map(count)).toEqual(Array(20).fill(1n));
  });
});
