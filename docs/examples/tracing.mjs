import { once } from "node:events";
import { createServer } from "node:http";
import { json, text } from "node:stream/consumers";
import { context, propagation, SpanKind, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
import { Sandbox } from "ampoule";

// In place of a collector, so that this example shows what one gets.
const spans = [];
const collector = createServer(async (request, response) => {
  const { resourceSpans } = await json(request);
  for (const { scopeSpans } of resourceSpans) {
    for (const scope of scopeSpans) spans.push(...scope.spans);
  }
  response.setHeader("content-type", "application/json").end("{}");
});
const collectorUrl = await listening(collector);

// The SDK as in any service: Ampoule needs to be told nothing about it.
const exporter = new OTLPTraceExporter({ url: `${collectorUrl}/v1/traces` });
const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": "pages" }),
  spanProcessors: [new BatchSpanProcessor(exporter)],
});
provider.register();
const tracer = trace.getTracer("pages");

const sandbox = await Sandbox.create({
  guest: new URL("../../guests/target/x86_64-unknown-linux-gnu/release/markdown", import.meta.url),
  hostFunctions: {
    resolve_link: (href) =>
      tracer.startActiveSpan("look up link", (span) => {
        span.end();
        return href;
      }),
  },
});

const server = createServer((request, response) => {
  // What @opentelemetry/instrumentation-http does: the trace of whoever asks goes on.
  const caller = propagation.extract(context.active(), request.headers);
  tracer.startActiveSpan("POST /page", { kind: SpanKind.SERVER }, caller, async (span) => {
    const { html } = await sandbox.call.render(await text(request), null);
    span.end();
    response.end(html);
  });
});
const headers = { traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" };
const body = "# A page\n\nwith a [link](https://example.com)";
await (await fetch(await listening(server), { method: "POST", headers, body })).text();

await sandbox.close();
await provider.shutdown();
for (const each of [server, collector]) each.close();
printTree("00f067aa0ba902b7", "");

function printTree(parent, indent) {
  for (const span of spans.filter(({ parentSpanId }) => parentSpanId === parent)) {
    console.log(indent + span.name);
    printTree(span.spanId, `${indent}  `);
  }
}

async function listening(server) {
  await once(server.listen(0, "127.0.0.1"), "listening");
  return `http://127.0.0.1:${server.address().port}`;
}
// Prints:
// POST /page
//   ampoule.call render
//     parse
//     resolve_links
//       ampoule.host resolve_link
//         look up link
//     sanitise
