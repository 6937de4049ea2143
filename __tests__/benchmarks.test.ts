/** The benchmarks run, and write what they found; how fast anything is, is no matter of tests. */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "@jest/globals";
import { describeWithKvm } from "./support/kvm.js";

const RUN = fileURLToPath(new URL("../benches/run.js", import.meta.url));
const NAMES = [
  ...["call", "trace", "restore", "memory", "create", "snapshot", "pool", "throughput", "peers"],
];

interface Row {
  readonly benchmark: string;
  readonly name: string;
  readonly p50: number;
  readonly counts?: Readonly<Record<string, number>>;
}

describeWithKvm("the benchmarks", () => {
  test("run and write figures, a table and a plot", async () => {
    const directory = await mkdtemp(join(tmpdir(), "ampoule-benches-"));
    try {
      const options = ["--smoke", "--debug", "--out", directory];
      await promisify(execFile)(process.execPath, [RUN, ...options, ...NAMES], {
        maxBuffer: 2 ** 26,
      });
      const files = (await readdir(directory)).sort();
      expect(files.map((file) => file.replace(/^.*\./, ""))).toEqual(["json", "md", "svg"]);
      const [json = "", markdown = "", picture = ""] = await Promise.all(
        files.map((file) => readFile(join(directory, file), "utf8")),
      );
      const rows = (JSON.parse(json) as { measurements: Row[] }).measurements;
      for (const row of rows) expect(row.p50).toEqual(expect.any(Number));
      const groups = new Set(rows.map(({ benchmark }) => benchmark));
      expect([...groups].sort()).toEqual([
        "call",
        "create",
        "density",
        "js call",
        "js create",
        "js restore",
        "js trace",
        "memory",
        "peers",
        "pool",
        "restore",
        "snapshot",
        "throughput",
        "trace",
      ]);
      for (const name of ["call of add", "callSync of add"]) {
        expect(rows.find((row) => row.name === name)?.counts).toEqual({ exits: 1 });
        expect(markdown).toContain(`| ${name} |`);
      }
      expect(picture).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
      expect(picture).not.toMatch(/NaN|undefined/);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});
