import { once } from "node:events";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import { Pool } from "ampoule";

// In place of an exporter that sends spans to a collector.
const exporter = {
  export(spans, done) {
    for (const { name } of spans) if (name.startsWith("ampoule.call ")) console.log("sent", name);
    done({ code: 0 });
  },
  shutdown: async () => {},
};
const provider = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(exporter)] });
provider.register();

const guest = "../../guests/target/x86_64-unknown-linux-gnu/release/markdown";
const pool = await Pool.create({
  guest: new URL(guest, import.meta.url),
  hostFunctions: {
    async resolve_link(href) {
      // For this example: the signal comes in the middle of a request.
      process.kill(process.pid, "SIGTERM");
      await once(process, "SIGTERM");
      return href;
    },
  },
});

let ending;
const server = createServer(async (request, response) => {
  try {
    const { html } = await pool.call.render(await text(request), null);
    // A connection that is kept open would keep the server open.
    if (ending) response.setHeader("connection", "close");
    response.end(html);
  } catch (error) {
    response.writeHead(error.code === "ERR_AMPOULE_CLOSED" ? 503 : 500, { connection: "close" });
    response.end();
  }
});

process.once("SIGTERM", () => {
  ending = end();
});

async function end() {
  // What takes longer is stopped, and its callers get ERR_AMPOULE_CLOSED.
  const patience = setTimeout(() => pool.close({ force: true }), 10_000);
  // No new requests; the accepted ones to their end.
  await new Promise((resolve) => server.close(resolve));
  await pool.close();
  clearTimeout(patience);
  // Spans wait in the processor for the next batch: send them now.
  await provider.shutdown();
  console.log("nothing is left");
}

await once(server.listen(0, "127.0.0.1"), "listening");
const address = `http://127.0.0.1:${server.address().port}`;
const response = await fetch(address, { method: "POST", body: "[a](b)" });
const page = await response.text();
await ending;
console.log(response.status, page.trim());
// Prints:
// sent ampoule.call render
// nothing is left
// 200 <p><a href="b" rel="noopener noreferrer">a</a></p>
