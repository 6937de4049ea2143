/** What becomes of what guests print when no option says where it goes, seen from outside the process. */
import { spawnSync } from "node:child_process";
import { expect, test } from "@jest/globals";
import { BUSYBOX, HOST_FUNCTIONS, rustGuest } from "./support/guests.js";
import { requireBuild } from "./support/killer.js";
import { describeWithKvm } from "./support/kvm.js";
import { testWithProgram } from "./support/native.js";

/** Runs `code` in a process of its own, with a function that makes the guest `testing`. */
function node(code: string): { status: number | null; stdout: string; stderr: string } {
  const prelude = `
    import { Pool, run, Sandbox } from ${JSON.stringify(new URL("../dist/index.js", import.meta.url).href)};
    const guest = ${JSON.stringify(rustGuest("testing"))};
    const names = ${JSON.stringify(Object.keys(HOST_FUNCTIONS))};
    const hostFunctions = Object.fromEntries(names.map((name) => [name, () => null]));
    const create = (options) => Sandbox.create({ guest, hostFunctions, ...options });
  `;
  const args = ["--input-type=module", "-e", prelude + code];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  return { status, stdout, stderr };
}

describeWithKvm("what a guest prints", () => {
  const whenBusybox = testWithProgram(BUSYBOX, "Debian: apt-get install busybox-static");

  test("goes to stderr in lines that bear its name, without commands for a terminal", () => {
    requireBuild();
    const result = node(`
      const sandbox = await create({ name: "box\\n\\u001b[1m" });
      await sandbox.call.print_line("\\u001b]0;title\\u0007one\\r\\ntwo\\u2028three\\u202efour\\n");
      sandbox.callSync.print_error_line("Error: forged\\n    at host.js:1:1");
      sandbox.callSync.print_bytes(new Uint8Array([0xc3]));
      sandbox.callSync.print_bytes(new Uint8Array([0xa4, 0x0a]));
      await sandbox.close();
    `);
    const lines = [
      "\ufffd]0;title\ufffdone",
      "two\ufffdthree\ufffdfour",
      "",
      "Error: forged",
      "    at host.js:1:1",
      "",
      "ä",
    ];
    const name = "box \ufffd[1m:";
    const stderr = lines.map((line) => `${name} ${line}`.trimEnd()).join("\n");
    expect(result).toEqual({ status: 0, stdout: "", stderr: `${stderr}\n` });
  });

  test("is printed in a pool too, and on the way to readiness", () => {
    const result = node(`
      const sandbox = await create({ env: { TESTING_INIT: "print" } });
      await sandbox.close();
      const pool = await Pool.create({ guest, hostFunctions, size: 1, name: "pooled" });
      await pool.call.print_line("from a pool");
      await pool.close();
    `);
    const stderr = "testing: initialising\npooled: from a pool\n";
    expect(result).toEqual({ status: 0, stdout: "", stderr });
  });

  test("goes on as it is where an option says so", () => {
    const result = node(`
      const sandbox = await create({ stdout: "inherit", stderr: "ignore" });
      await sandbox.call.print_line("\\u001b[1mraw");
      await sandbox.call.print_error_line("never seen");
      await sandbox.close();
    `);
    expect(result).toEqual({ status: 0, stdout: "\u001b[1mraw\n", stderr: "" });
  });

  whenBusybox("by a program that is no guest is in the error, which names run", async () => {
    const result = node(`
      const error = await Sandbox.create({ guest: ${JSON.stringify(BUSYBOX)} }).catch((error) => error);
      const { code, message, exitCode, details } = error;
      console.log(JSON.stringify({ code, message, exitCode, output: details.output.split("\\n")[0] }));
    `);
    expect([result.status, result.stderr]).toEqual([0, ""]);
    expect(JSON.parse(result.stdout)).toEqual({
      code: "ERR_AMPOULE_GUEST_EXITED",
      message: expect.stringContaining("a plain program is run by run()"),
      exitCode: 0,
      output: expect.stringContaining("BusyBox"),
    });
  });

  test("is nobody's loss when stderr is gone", () => {
    const shell = '"$@" 2>&-; echo $?; "$@" 2>/dev/full; echo $?';
    const code = `
      import { Sandbox } from ${JSON.stringify(new URL("../dist/index.js", import.meta.url).href)};
      const names = ${JSON.stringify(Object.keys(HOST_FUNCTIONS))};
      const hostFunctions = Object.fromEntries(names.map((name) => [name, () => null]));
      const sandbox = await Sandbox.create({ guest: ${JSON.stringify(rustGuest("testing"))}, hostFunctions });
      await sandbox.call.print_line("lost");
      await sandbox.close();
    `;
    const args = ["-c", shell, "sh", process.execPath, "--input-type=module", "-e", code];
    expect(spawnSync("sh", args, { encoding: "utf8" }).stdout).toBe("0\n0\n");
  });
});
