const { AmpouleError, run } = require("ampoule");

test("a program runs in a sandbox", async () => {
  const { exitCode, text } = await run("/bin/busybox", { args: ["wc", "-w"], stdin: "two words" });
  expect([exitCode, text]).toEqual([0, "2\n"]);
});

test("what it must not do ends in a typed error", async () => {
  const endless = { args: ["sh", "-c", "while :; do :; done"], limits: { timeoutMs: 100 } };
  const ended = run("/bin/busybox", endless);
  await expect(ended).rejects.toThrow(AmpouleError);
  await expect(ended).rejects.toMatchObject({ code: "ERR_AMPOULE_TIMEOUT" });
});
