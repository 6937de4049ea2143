/** What can be done, word for word: the native side tells what was wrong, TypeScript words the rest. */
import { spawnSync } from "node:child_process";
import { expect, test } from "@jest/globals";
import { Sandbox } from "../ts/index.js";
import { async, failureOf, rustGuest, sync, testing } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";

const INDEX = new URL("../dist/index.js", import.meta.url).href;

describeWithKvm("a limit says which option raises it", () => {
  type Call = typeof sync;

  const CASES: readonly [
    option: string,
    message: string,
    limit: object,
    use: (call: Call) => unknown,
  ][] = [
    [
      "timeoutMs",
      "the call took longer than 30 ms; raise `timeoutMs` if that is expected",
      { limitMs: 30 },
      async (call) => call(await testing(), "spin_forever")({ timeoutMs: 30 }),
    ],
    [
      "cpuTimeMs",
      "the guest used more than 30 ms of CPU time; raise `cpuTimeMs` if that is expected",
      { limitMs: 30 },
      async (call) => call(await testing(), "spin_forever")({ cpuTimeMs: 30 }),
    ],
    [
      "memory",
      "the program does not fit into 1048576 bytes of guest memory; raise `memory`",
      { limitBytes: 1_048_576 },
      () => testing({ memory: "1MiB" }),
    ],
    [
      "limits.output",
      "the guest wrote more than 10 bytes of output; raise `limits.output`",
      { limitBytes: 10 },
      async (call) =>
        call(await testing({ limits: { output: 10 } }), "print_bytes")(new Uint8Array(11)),
    ],
    [
      "limits.hostCalls",
      "one call of the guest called more than 2 host functions; raise `limits.hostCalls`",
      { limit: 2 },
      async (call) => call(await testing({ limits: { hostCalls: 2 } }), "sum_via_host")(3),
    ],
    [
      "limits.items",
      "the guest sent too much at once: its result has more than 1000 items; raise `limits.items`",
      { limit: 1000 },
      async (call) => {
        await using sandbox = await Sandbox.create({
          guest: rustGuest("values"),
          limits: { items: 1000 },
        });
        return await call(sandbox, "repeat_declared")({}, 1000);
      },
    ],
  ];

  test.each(CASES)("%s", async (option, message, limit, use) => {
    for (const call of [sync, async]) {
      const failure = await failureOf(() => use(call));
      expect(failure).toMatchObject({ message, option, details: { ...limit, option } });
    }
  });
});

test("a machine without a hypervisor is to be diagnosed", () => {
  const script = `
    const [, index, guest] = process.argv;
    const { Sandbox } = await import(index);
    await Sandbox.create({ guest }).catch(({ code, message, details }) => {
      console.log(JSON.stringify({ code, message, details }));
    });
  `;
  const { stdout } = spawnSync(
    process.execPath,
    ["--input-type=module", "--eval", script, INDEX, rustGuest("testing")],
    { encoding: "utf8", env: { ...process.env, AMPOULE_KVM_DEVICE: "/nothing" } },
  );
  expect(JSON.parse(stdout)).toEqual({
    code: "ERR_AMPOULE_NO_HYPERVISOR",
    message:
      "no usable hypervisor: /nothing does not exist; turn on virtualisation (VT-x or AMD-V) in the firmware and load the module: `sudo modprobe kvm_intel` or `sudo modprobe kvm_amd`; on a cloud machine choose a type with nested virtualisation, in a container pass `--device /dev/kvm`. `npx ampoule doctor` tells more",
    details: { reason: "no-device" },
  });
});
