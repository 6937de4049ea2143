import { Sandbox } from "ampoule";

const sandbox = await Sandbox.create({
  guest: new URL("../../guests/target/x86_64-unknown-linux-gnu/release/markdown", import.meta.url),
  hostFunctions: { resolve_link: (href) => href },
  restore: "after-call",
});

const endless = "{{define a}}\n{{use a}}\n{{end}}\n\n{{use a}}";
for (const source of ["# One", endless, "# Two"]) {
  try {
    const { title } = await sandbox.call.render(source, null, { timeoutMs: 100 });
    console.log(title, sandbox.state);
  } catch (error) {
    console.log(error.code, sandbox.state);
  }
}

const { calls, restores } = sandbox.statistics;
console.log({ calls, restores });
await sandbox.close();
// Prints:
// One ready
// ERR_AMPOULE_TIMEOUT ready
// Two ready
// { calls: 3, restores: 3 }
