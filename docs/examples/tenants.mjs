import { once } from "node:events";
import { createServer } from "node:http";
import { Pool, Sandbox } from "ampoule";

const guest = "../../guests/target/x86_64-unknown-linux-gnu/release/markdown";
const limits = { timeoutMs: 200, output: "64KiB", hostCalls: 1000 };
const BODY_MAX = 1 << 20;

// The guest starts once, on behalf of nobody; all tenants begin with a copy of that.
const first = await Sandbox.create({
  guest: new URL(guest, import.meta.url),
  memory: "64MiB",
  hostFunctions: { resolve_link: () => null },
});
const snapshot = await first.snapshot();
await first.close();

// A pool for each: a tenant who floods the server waits for nobody but itself, each call gets a clean
// sandbox, and the host functions know whom they serve.
const pools = new Map();
for (const name of ["ada", "bob"]) {
  const hostFunctions = { resolve_link: (href) => `https://${name}.example/${href}` };
  const pool = await Pool.create({ snapshot, hostFunctions, limits, size: 1, maxQueue: 10 });
  pools.set(name, pool);
}
snapshot.close();

const STATUS = {
  ERR_AMPOULE_ARGUMENT: 400,
  ERR_AMPOULE_MESSAGE_TOO_LARGE: 413,
  ERR_AMPOULE_TIMEOUT: 422,
  ERR_AMPOULE_MEMORY_LIMIT: 422,
  ERR_AMPOULE_QUEUE_FULL: 429,
  ERR_AMPOULE_CLOSED: 503,
};

const server = createServer(async (request, response) => {
  // Whoever authenticates the request says who it is; never the request alone.
  const pool = pools.get(request.headers["x-tenant"]);
  if (pool === undefined) return response.writeHead(401).end();
  // A client who goes away ends the call.
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  try {
    let source = "";
    for await (const chunk of request.setEncoding("utf8")) {
      source += chunk;
      if (source.length > BODY_MAX) return response.writeHead(413, { connection: "close" }).end();
    }
    const { html } = await pool.call.render(source, null, { signal: gone.signal });
    response.end(html);
  } catch (error) {
    // The code is ours. The message may quote the guest: for your log, not for another party.
    response.writeHead(STATUS[error.code] ?? 500).end(error.code);
  }
});

await once(server.listen(0, "127.0.0.1"), "listening");
const address = `http://127.0.0.1:${server.address().port}`;
const endless = "{{define a}}\n{{use a}}\n{{end}}\n\n{{use a}}";
const requests = [
  ["ada", "[a](b)"],
  ["bob", endless],
  ["bob", "[a](b)"],
  ["eve", "[a](b)"],
];
for (const [tenant, body] of requests) {
  const headers = { "x-tenant": tenant };
  const response = await fetch(address, { method: "POST", headers, body });
  console.log(tenant, response.status, (await response.text()).trim());
}
server.close();
server.closeAllConnections();
for (const pool of pools.values()) await pool.close();
// Prints:
// ada 200 <p><a href="https://ada.example/b" rel="noopener noreferrer">a</a></p>
// bob 422 ERR_AMPOULE_TIMEOUT
// bob 200 <p><a href="https://bob.example/b" rel="noopener noreferrer">a</a></p>
// eve 401
