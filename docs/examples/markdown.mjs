import { Sandbox } from "ampoule";

const guest = "../../guests/target/x86_64-unknown-linux-gnu/release/markdown";
const sandbox = await Sandbox.create({
  guest: new URL(guest, import.meta.url),
  hostFunctions: {
    // The guest asks where links lead; it never gets there by itself.
    resolve_link: async (href) => (href.startsWith("https:") ? href : null),
  },
  memory: "64MiB",
  limits: { timeoutMs: 5000 },
});
try {
  const document = await sandbox.call.render(
    "# Hello\n\n[good](https://example.com) [bad](javascript:x) <script>x()</script>",
    null,
  );
  console.log(document.html);
  console.log(sandbox.statistics.hostCalls, "host calls, then", sandbox.state);
} finally {
  await sandbox.close();
}
// Prints:
// <h1 id="hello">Hello</h1>
// <p><a href="https://example.com" rel="noopener noreferrer">good</a> bad </p>
//
// 2 host calls, then ready
