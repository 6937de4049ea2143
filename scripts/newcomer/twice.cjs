/** Loads the package by `require` and by `import`, as a loader without `module-sync` does: two copies. */
const assert = require("node:assert/strict");
const required = require("ampoule");

// Node.js would end with 0, too, if this waited for ever.
process.exitCode = 1;
import("ampoule").then(async (imported) => {
  assert.notEqual(imported.Sandbox, required.Sandbox);
  required.probe();
  assert.throws(() => imported.probe(), { code: "ERR_AMPOULE_NO_BINDING" });
  // The first one goes on.
  const { exitCode } = await required.run("/bin/busybox", { args: ["true"] });
  assert.equal(exitCode, 0);
  process.exitCode = 0;
});
