/** What the recipes and workflows say, as far as it can be checked without Docker and GitHub. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "@jest/globals";
import { validate } from "dockerfile-utils";
import { parseDocument } from "yaml";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");

interface Step {
  readonly uses?: string;
  readonly run?: string;
}

interface Workflow {
  readonly on: unknown;
  readonly jobs: Readonly<Record<string, { "runs-on": string; steps: readonly Step[] }>>;
}

function yaml(path: string): unknown {
  const document = parseDocument(read(path), { strict: true, uniqueKeys: true });
  expect([...document.errors, ...document.warnings].map(String)).toEqual([]);
  return document.toJS();
}

/** The commands of a workflow that parsed, each checked for being one that bash can read. */
function commands(path: string): string[] {
  const { on, jobs } = yaml(path) as Workflow;
  expect(on).toBeDefined();
  const steps = Object.values(jobs).flatMap((job) => {
    expect(typeof job["runs-on"]).toBe("string");
    return job.steps;
  });
  expect(steps.length).toBeGreaterThan(0);
  return steps.flatMap(({ uses, run }) => {
    expect([path, uses, run].filter((part) => part !== undefined)).toHaveLength(2);
    if (run === undefined) return [];
    const { status, stderr } = spawnSync("bash", ["-n", "-c", run], { encoding: "utf8" });
    expect([run, status, stderr]).toEqual([run, 0, ""]);
    return run.trim().split("\n");
  });
}

describe("our workflows", () => {
  const workflows = readdirSync(join(ROOT, ".github/workflows"));
  const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };

  test.each(workflows)("%s runs commands that there are", (name) => {
    for (const command of commands(`.github/workflows/${name}`)) {
      const [, script] = /^npm run (\S+)/.exec(command) ?? [];
      if (script !== undefined) expect(Object.keys(scripts)).toContain(script);
      const [, file] = /^(?:node|bash) (\S+)/.exec(command) ?? [];
      if (file !== undefined) expect([file, existsSync(join(ROOT, file))]).toEqual([file, true]);
    }
  });

  test("the gate of the workflow is the script that a developer runs", () => {
    expect(commands(".github/workflows/ci.yml")).toContain("bash .ci/run");
  });
});

describe("the recipes", () => {
  test("the workflow asks for the device before the tests", () => {
    const lines = commands("docs/examples/github/test.yml");
    const rule = lines.findIndex((line) => line.includes("/etc/udev/rules.d/"));
    expect(rule).toBeGreaterThanOrEqual(0);
    expect(lines.indexOf("npm test")).toBeGreaterThan(rule);
  });

  test("the Dockerfile is one, with glibc and without root", () => {
    const text = read("docs/examples/docker/Dockerfile");
    expect(validate(text).map(({ message }) => message)).toEqual([]);
    expect(text).toMatch(/^FROM node:\d+-bookworm/m);
    expect(text).not.toMatch(/^FROM .*alpine/m);
    expect(text.indexOf("\nUSER node")).toBeGreaterThan(text.indexOf("\nRUN npm"));
    expect(validate("FORM x\n")).not.toEqual([]);
  });

  test("the services of Compose get the device and its group", () => {
    const { services } = yaml("docs/examples/docker/compose.yml") as {
      services: Record<string, { devices: string[]; group_add: string[] }>;
    };
    expect(services["server"]?.devices).toEqual(["/dev/kvm"]);
    expect(services["server"]?.group_add).toHaveLength(1);
  });

  test("a sandbox needs no capability and no new privilege", () => {
    if (!existsSync("/dev/kvm") || !existsSync("/bin/busybox") || process.getuid?.() !== 0) {
      console.warn("SKIPPED: needs root to give up its capabilities, /dev/kvm and /bin/busybox");
      return;
    }
    const dropped = ["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"];
    const program = [process.execPath, join(ROOT, "docs/examples/plain.mjs")];
    const { stdout, stderr, status } = spawnSync("setpriv", [...dropped, ...program], {
      encoding: "utf8",
    });
    expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
    expect(stdout).toMatch(/^0 5891b5b5/);
  });
});
