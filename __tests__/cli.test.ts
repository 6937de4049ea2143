import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { BUSYBOX, cProgram, rustGuest } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { testWithProgram } from "./support/native.js";

const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const ROOT = fileURLToPath(new URL("..", import.meta.url));

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ampoule-cli-"));
  writeFileSync(
    join(folder, "host.mjs"),
    [
      "export const fetch_number = async (id) => id * 2;",
      'export const fetch_user = (id) => ({ id, name: "Ada" });',
      "export const log_line = () => {};",
      "export const transform = (bytes) => bytes;",
      'export const describe_values = () => "";\n',
    ].join("\n"),
  );
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function ampoule(args: readonly string[], input: string | Uint8Array = ""): Result {
  const options = { encoding: "utf8", input, cwd: folder, maxBuffer: 2 ** 28 } as const;
  return spawnSync(process.execPath, [MAIN, ...args], options);
}

const call = (...args: string[]): Result =>
  ampoule(["call", "--host-functions", "host.mjs", rustGuest("testing"), ...args]);

test("help names the commands and the exit codes", () => {
  const { status, stdout } = ampoule(["--help"]);
  expect(status).toBe(0);
  for (const word of [
    "doctor",
    "inspect",
    "types",
    "call",
    "run",
    "new",
    "snapshot",
    "Exit codes:",
    "124",
  ]) {
    expect(stdout).toContain(word);
  }
  for (const command of ["doctor", "inspect", "types", "call", "run", "new", "snapshot"]) {
    expect(ampoule([command, "--help"]).status).toBe(0);
  }
  expect(ampoule(["--version"]).stdout.trim()).toBe(
    JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")).version,
  );
});

const whenScript = testWithProgram("/usr/bin/script", "Debian: apt-get install bsdutils");

whenScript("help fits into a narrow terminal", async () => {
  const commands = ["doctor", "inspect", "types", "call", "trace", "run", "new", "snapshot"];
  for (const args of [[], ...commands.map((command) => [command])]) {
    const line = ["stty cols 40;", `"${process.execPath}"`, `"${MAIN}"`, ...args, "--help"].join(
      " ",
    );
    const { stdout } = spawnSync("script", ["-qec", line, "/dev/null"], { encoding: "utf8" });
    expect(stdout).toContain("Usage: ampoule");
    const lines = stdout.split(/\r?\n/);
    // Usage and examples are commands to be copied.
    const text = lines.filter(
      (each) => !/^Usage:|^ {2}ampoule |^ {2}[^ ].*(ampoule|\.\.\.\])/.test(each),
    );
    expect([args, text.filter((each) => each.length > 40)]).toEqual([args, []]);
  }
});

test("a wrong command line is exit code 2", () => {
  for (const args of [
    ["bogus"],
    ["call"],
    ["run", "--memory", "lots", "x"],
    ["inspect", "--what"],
  ]) {
    const { status, stderr } = ampoule(args);
    expect([args, status]).toEqual([args, 2]);
    expect(stderr).toContain("error:");
  }
});

test("doctor reports in words and as JSON, and agrees with its exit code", () => {
  const words = ampoule(["doctor"]);
  const { usable, checks } = JSON.parse(ampoule(["doctor", "--json"]).stdout);
  expect(words.status).toBe(usable ? 0 : 1);
  expect(words.stdout).toContain(usable ? "Sandboxes can run here." : "Sandboxes cannot run here.");
  for (const { ok, remedy } of checks) expect(remedy === "").toBe(ok);
});

test("doctor names the remedy for each thing that can be wrong with the device", () => {
  const device = join(folder, "device");
  writeFileSync(device, "");
  chmodSync(device, 0o600);
  const doctor = (env: NodeJS.ProcessEnv, identity = {}) =>
    spawnSync(process.execPath, [MAIN, "doctor"], {
      encoding: "utf8",
      env: { ...process.env, ...env },
      ...identity,
    });
  const missing = doctor({ AMPOULE_KVM_DEVICE: join(folder, "nothing") });
  expect(missing.status).toBe(1);
  expect(missing.stdout).toContain("does not exist");
  expect(missing.stdout).toContain("remedy: turn on virtualisation");
  const other = doctor({ AMPOULE_KVM_DEVICE: device });
  expect(other.status).toBe(1);
  expect(other.stdout).toContain("cannot be used");
  expect(other.stdout).toContain("remedy: check that the device is KVM's");
  // Who owns the file may open it in any case, and so may root: ask as somebody else.
  chmodSync(folder, 0o755);
  const nobody = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  if (spawnSync(process.execPath, [MAIN, "--version"], nobody).status !== 0) {
    console.warn("SKIPPED a part: the user `nobody` may not read this checkout");
    return;
  }
  if (process.getuid?.() !== 0) chmodSync(device, 0o000);
  const denied = doctor({ AMPOULE_KVM_DEVICE: device }, nobody);
  expect(denied.status).toBe(1);
  expect(denied.stdout).toContain("may not open");
  expect(denied.stdout).toContain("remedy: let this user open the device: `sudo usermod -aG kvm");
});

describeWithKvm("the command line", () => {
  const whenBusybox = testWithProgram(BUSYBOX, "Debian: apt-get install busybox-static");

  test("inspect shows the functions of a guest", () => {
    const { status, stdout } = ampoule(["inspect", rustGuest("testing")]);
    expect(status).toBe(0);
    expect(stdout).toContain("add(left: number, right: number): number\n      Adds two numbers.");
    expect(stdout).toContain("fetch_number(id: number): number");
    const report = JSON.parse(ampoule(["inspect", "--json", rustGuest("testing")]).stdout);
    expect(report.executable.kind).toBe("position-independent");
    expect(report.interface.exports.map(({ name }: { name: string }) => name)).toContain("add");
  });

  test("inspect tells a plain program, and what is no guest", () => {
    const plain = ampoule(["inspect", cProgram("hello", "glibc")]);
    expect([plain.status, plain.stdout]).toEqual([0, expect.stringContaining("a plain program")]);
    const dynamic = ampoule(["inspect", process.execPath]);
    expect([dynamic.status, dynamic.stderr]).toEqual([
      126,
      expect.stringContaining("dynamically linked"),
    ]);
    expect(ampoule(["inspect", "nowhere"]).status).toBe(127);
  });

  test("types writes declarations", () => {
    const { stdout } = ampoule(["types", rustGuest("testing")]);
    expect(stdout).toContain("export interface Testing {");
    const written = ampoule(["types", rustGuest("testing"), "-o", "guest.d.ts", "--name", "Mine"]);
    expect([written.status, written.stdout]).toEqual([0, ""]);
    expect(readFileSync(join(folder, "guest.d.ts"), "utf8")).toContain("export interface Mine {");
    expect(ampoule(["types", cProgram("hello", "glibc")]).status).toBe(126);
  });

  test("call prints the result as JSON", () => {
    const cases: [string[], string][] = [
      [["add", "2", "40"], "42\n"],
      [["echo_string", "plain text"], '"plain text"\n'],
      [["echo_string", '"quoted"'], '"quoted"\n'],
      [["echo_string", "42"], '"42"\n'],
      [["echo_i64", "-5"], '"-5"\n'],
      [["echo_i64", "9007199254740993"], '"9007199254740993"\n'],
      [["echo_bytes", "AQID"], '"AQID"\n'],
      [["echo_option", "null"], "null\n"],
      [["echo_struct", '{"x":1,"y":2}'], '{\n  "x": 1,\n  "y": 2\n}\n'],
      [["sum_via_host", "4"], '"12"\n'],
      [["nothing"], "null\n"],
    ];
    for (const [args, stdout] of cases)
      expect([args, call(...args).stdout]).toEqual([args, stdout]);
    const { result, callMs, statistics } = JSON.parse(call("--json", "add", "1", "2").stdout);
    expect([result, typeof callMs, statistics.calls]).toEqual([3, "number", 1]);
  });

  test("call tells errors by exit codes and on stderr", () => {
    const cases: [string[], number, string][] = [
      [["buy", "tea", "9"], 1, "only 3 of tea left [ERR_AMPOULE_GUEST_ERROR]"],
      [["add", '"x"', "1"], 2, 'add: parameter "left" must be an integer'],
      [["nope"], 2, "ERR_AMPOULE_UNKNOWN_FUNCTION"],
      [["--timeout", "50", "spin_forever"], 124, "ERR_AMPOULE_TIMEOUT"],
      [["panic", "oh"], 125, "ERR_AMPOULE_GUEST_ABORT"],
      [["echo_bytes", "!!"], 2, 'parameter "value" must be'],
      [["add", "1"], 2, "add: takes 2 arguments (left, right), got 1 "],
      [["--timeout", "50", "spin_forever"], 124, "raise `--timeout`"],
    ];
    for (const [args, status, text] of cases) {
      const result = call(...args);
      expect([args, result.status, result.stdout]).toEqual([args, status, ""]);
      expect(result.stderr).toContain(text);
    }
    expect(JSON.parse(call("--json", "buy", "tea", "9").stderr).error.code).toBe(
      "ERR_AMPOULE_GUEST_ERROR",
    );
    expect(call("panic", "\u001b[2Jcleared").stderr).not.toContain("\u001b");
  });

  test("what a guest prints during a call is told from everything else", () => {
    const forged = "\u001b[2Jgone\nampoule: forged";
    const { stdout, stderr } = call("print_line", forged);
    expect([stdout, stderr]).toEqual([
      "null\n",
      "testing: \ufffd[2Jgone\ntesting: ampoule: forged\n",
    ]);
    const json = call("echo_string", "\u009b\u202e");
    expect(json.stdout).toBe('"\\u009b\\u202e"\n');
  });

  whenBusybox(
    "files that are not there, or are none, tell by their exit codes what they were",
    async () => {
      const cases: [string[], number, string][] = [
        [["run", "."], 126, "the file cannot be read: EISDIR"],
        [["run", "./nowhere"], 127, "the file cannot be read: ENOENT"],
        [["run", "host.mjs/x"], 127, "ENOTDIR"],
        [
          ["run", "-f", "/x=nowhere", BUSYBOX, "true"],
          2,
          'the file for "/x" (--file) cannot be read',
        ],
        [["run", "-f", "x", BUSYBOX, "true"], 2, "It must have the form guest=host."],
        [["run", "-e", "x", BUSYBOX, "true"], 2, "It must have the form name=value."],
        [["call", BUSYBOX, "x"], 125, "a plain program is run by run(), or `ampoule run`"],
        [["types", rustGuest("testing"), "-o", "no/where"], 2, "--output cannot be written"],
      ];
      for (const [args, status, text] of cases) {
        const result = ampoule(args);
        expect([args, result.status, result.stdout]).toEqual([args, status, ""]);
        expect(result.stderr).toContain(text);
        expect(result.stderr.trim().split("\n").length).toBeLessThan(3);
      }
    },
  );

  whenBusybox("output that cannot be written is an error in one line", async () => {
    for (const args of [["run", BUSYBOX, "echo", "x"], ["--help"], ["run", BUSYBOX, "yes"]]) {
      const shell = '"$@" >/dev/full';
      const command = ["-c", shell, "sh", process.execPath, MAIN, ...args];
      const { status, stderr } = spawnSync("sh", command, { encoding: "utf8", cwd: folder });
      const text = "ampoule: stdout cannot be written: ENOSPC: no space left on device, write\n";
      expect([args, status, stderr]).toEqual([args, 125, text]);
    }
  });

  whenBusybox("run ends quietly by Ctrl-C", async () => {
    const args = ["run", BUSYBOX, "sh", "-c", "echo ready; read -r line"];
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["pipe", "pipe", "pipe"] });
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.stdout.once("data", () => child.kill("SIGINT"));
    const status = await new Promise((resolve) => child.once("close", resolve));
    child.stdin.destroy();
    expect([status, stderr]).toEqual([130, ""]);
  });

  test("types and new report as JSON", () => {
    const { declarations } = JSON.parse(ampoule(["types", rustGuest("testing"), "--json"]).stdout);
    expect(declarations).toContain("export interface Testing {");
    const written = ampoule(["types", rustGuest("testing"), "-o", "json.d.ts", "--json"]);
    expect(JSON.parse(written.stdout)).toEqual({ output: "json.d.ts" });
    expect(readFileSync(join(folder, "json.d.ts"), "utf8")).toBe(declarations);
    expect(JSON.parse(ampoule(["new", "as-json", "--json"]).stdout)).toEqual({
      directory: join(folder, "as-json"),
      next: ["cd as-json", "npm install", "npm test"],
    });
    const odd = ampoule(["new", "It's Bad!"]);
    expect(odd.stdout).toContain("  cd 'It'\\''s Bad!'\n");
  });

  whenBusybox("run is a filter with the program's exit code", async () => {
    const text = "3\n1\n2\n".repeat(50_000);
    const sorted = ampoule(["run", BUSYBOX, "sort"], text);
    expect([sorted.status, sorted.stderr]).toEqual([0, ""]);
    expect(sorted.stdout).toBe(text.split("\n").slice(0, -1).sort().join("\n").concat("\n"));
    const shell = (script: string, ...flags: string[]): Result =>
      ampoule(["run", ...flags, BUSYBOX, "sh", "-c", script]);
    expect(shell("exit 7").status).toBe(7);
    expect(shell("kill -TERM $$").status).toBe(143);
    expect(shell("while :; do :; done", "--timeout", "50").status).toBe(124);
    expect(
      shell(
        'echo "$A"; while read -r line; do echo "$line"; done </f',
        "--env",
        "A=b=c",
        "--file",
        "/f=host.mjs",
      ).stdout,
    ).toBe(`b=c\n${readFileSync(join(folder, "host.mjs"), "utf8")}`);
    expect(JSON.parse(shell("exit 3", "--json").stderr)).toMatchObject({
      exitCode: 3,
      signal: null,
    });
    expect(ampoule(["run", process.execPath]).status).toBe(126);
    expect(ampoule(["run", "./nowhere"]).status).toBe(127);
    // Options behind the program are the program's.
    expect(ampoule(["run", BUSYBOX, "echo", "--timeout", "5"]).stdout).toBe("--timeout 5\n");
  });

  whenBusybox("run ends quietly when nobody reads its output any more", async () => {
    const child = spawn(process.execPath, [MAIN, "run", BUSYBOX, "yes"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.stdout.once("data", () => child.stdout.destroy());
    const status = await new Promise((resolve) => child.once("close", resolve));
    expect([status, stderr]).toEqual([141, ""]);
  });

  whenBusybox("run ends with its program although stdin stays open", async () => {
    const child = spawn(process.execPath, [MAIN, "run", BUSYBOX, "head", "-n", "1"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    let stdout = "";
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stdin.write("first\nsecond\n");
    const status = await new Promise((resolve) => child.once("close", resolve));
    expect([status, stdout]).toEqual([0, "first\n"]);
    child.stdin.destroy();
  });

  test("new writes a project that builds and passes its test", () => {
    const project = join(folder, "greeter");
    const made = ampoule(["new", "greeter"]);
    expect([made.status, made.stderr]).toEqual([0, ""]);
    expect(ampoule(["new", "greeter"]).status).toBe(2);
    const manifest = JSON.parse(readFileSync(join(project, "package.json"), "utf8"));
    expect(manifest).toMatchObject({ name: "greeter", dependencies: { ampoule: `file:${ROOT}` } });
    expect(existsSync(join(project, "guest/.cargo/config.toml"))).toBe(true);
    // What `npm install` would do, from the packages that are here.
    const link = `mkdir -p node_modules/.bin && ln -s "${ROOT}" node_modules/ampoule &&
      ln -s "${ROOT}/node_modules/@types" node_modules/@types &&
      ln -s "${ROOT}/dist/cli/main.js" node_modules/.bin/ampoule &&
      ln -s "${ROOT}/node_modules/.bin/tsc" node_modules/.bin/tsc`;
    const steps = spawnSync("sh", ["-ec", `${link}\nnpm test`], {
      cwd: project,
      encoding: "utf8",
      // The dependencies that the repository's guests have built need not be built again.
      env: {
        ...process.env,
        CARGO_TARGET_DIR: join(project, "guest/target"),
        RUSTFLAGS: undefined,
      },
    });
    if (steps.status !== 0) process.stderr.write(steps.stdout + steps.stderr);
    expect(steps.status).toBe(0);
    expect(steps.stdout).toMatch(/^[#ℹ] pass 1$/m);
  }, 600_000);
});

describeWithKvm("snapshot", () => {
  const snapshot = (...args: string[]): Result => ampoule(["snapshot", ...args]);

  test("saves guests, shows what a store holds, checks it and clears it up", () => {
    const saved = snapshot(
      "save",
      rustGuest("testing"),
      "store",
      "--tag",
      "v1",
      "--metadata",
      "a=b",
    );
    expect(saved).toMatchObject({ status: 0, stderr: "" });
    expect(saved.stdout).toMatch(/^v1: sha256:[0-9a-f]{64}, .* new in store\n$/);
    const again = snapshot("save", rustGuest("testing"), "store", "--memory", "64MiB", "--json");
    expect(JSON.parse(again.stdout)).toMatchObject({ tag: "latest", newBytes: expect.any(Number) });

    expect(snapshot("inspect", "store").stdout).toMatch(/^v1 .*testing.*\nlatest .*\n$/s);
    const full = snapshot("inspect", "store", "--tag", "v1").stdout;
    for (const text of ["256MiB", "fetch_number", "(a)", "layer"]) expect(full).toContain(text);
    const [first] = JSON.parse(snapshot("inspect", "store", "--json").stdout);
    expect(first).toMatchObject({ tag: "v1", name: "testing", metadata: { a: "b" } });

    expect(snapshot("verify", "store")).toMatchObject({
      status: 0,
      stdout: "ok    v1\nok    latest\n",
    });
    expect(snapshot("prune", "store")).toMatchObject({
      status: 0,
      stdout: "0 blobs with 0B removed\n",
    });
    const [base] = first.layers as { digest: string }[];
    const blob = join(folder, "store/blobs/sha256", (base?.digest ?? "").slice("sha256:".length));
    rmSync(blob);
    writeFileSync(blob, "short");
    const damaged = snapshot("verify", "store");
    expect(damaged.status).toBe(1);
    expect(damaged.stdout).toContain("FAIL  v1  the snapshot is damaged");
  });

  test("says what is missing", () => {
    const missing = snapshot("inspect", "nowhere");
    expect(missing.status).toBe(127);
    expect(missing.stderr).toContain("ERR_AMPOULE_SNAPSHOT_NOT_FOUND");
    expect(snapshot("save", rustGuest("testing"), "store", "--tag", "a b").status).toBe(2);
  });
});
