/**
 * Shows everything that `ampoule` exports, and everything that one gets from it, in every way in which
 * a newcomer looks at things. `module` is what `import` or `require` brought.
 */
const assert = require("node:assert/strict");
const { inspect } = require("node:util");

exports.everything = async (module, guest) => {
  const hostFunctions = { resolve_link: (href) => href };
  const sandbox = await module.Sandbox.create({ guest, hostFunctions });
  const snapshot = await sandbox.snapshot();
  const pool = await module.Pool.create({ snapshot, hostFunctions, size: 1 });
  const lease = await pool.acquire();
  const errors = [];
  for (const failing of [
    () => module.run("/nowhere"),
    () => module.run(guest, { args: [], limits: { cpuTimeMs: -1 } }),
    () => sandbox.call.render(1),
    () => sandbox.call.absent(),
    () => sandbox.call.render("x", null, { signal: AbortSignal.abort() }),
  ]) {
    errors.push(
      await Promise.resolve()
        .then(failing)
        .then(
          () => assert.fail("no error"),
          (e) => e,
        ),
    );
  }
  const made = {
    ...module,
    module,
    sandbox,
    state: sandbox.state,
    call: sandbox.call,
    callSync: sandbox.callSync,
    render: sandbox.call.render,
    interface: sandbox.interface,
    statistics: sandbox.statistics,
    document: await sandbox.call.render("# x", null),
    snapshot,
    pool,
    poolCall: pool.call,
    poolStatistics: pool.statistics,
    lease,
    leased: lease.sandbox,
    leasedCall: lease.sandbox.call,
    probe: module.probe(),
    Errors: errors,
  };
  for (const [name, value] of Object.entries(made)) await look(name, value);
  // Once more as they are after their end.
  lease.release();
  await pool.close();
  snapshot.close();
  await sandbox.close();
  for (const name of ["sandbox", "call", "snapshot", "pool", "poolCall", "lease", "leased"]) {
    await look(`closed ${name}`, made[name]);
  }
  for (const error of errors) {
    assert.ok(error instanceof module.AmpouleError, `${error} is no AmpouleError`);
    assert.match(error.code, /^ERR_AMPOULE_/);
    assert.match(inspect(error), new RegExp(`^${error.name}: [^]*${error.code}`));
  }
};

async function look(name, value) {
  try {
    console.log(name, value);
    inspect(value, { depth: null, showHidden: true, getters: true, showProxy: false });
    inspect(value, { depth: null, showProxy: true });
    inspect({ in: [value] }, { depth: 5 });
    Object.prototype.toString.call(value);
    JSON.stringify(value, (_key, part) => (typeof part === "bigint" ? `${part}` : part));
    if (value !== null && typeof value === "object") {
      for (const key of Reflect.ownKeys(value)) Reflect.getOwnPropertyDescriptor(value, key);
      `${"then" in value} ${value.nothing === undefined}`;
    }
    // No `then` of a guest's or of a proxy's: waiting for it ends.
    await value;
  } catch (cause) {
    throw new Error(`looking at ${name} throws`, { cause });
  }
}
