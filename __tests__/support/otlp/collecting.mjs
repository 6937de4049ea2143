/**
 * A collector of traces for tests: an OTLP/HTTP server in a process of its own, which `collector.ts`
 * starts and asks.
 */
import { createServer } from "node:http";
import { gunzipSync } from "node:zlib";
import { decode } from "./definitions.mjs";
import { plain } from "./plain.mjs";
import { Tally } from "./tally.mjs";

/** A batch of the exporter's is smaller by far. */
const BODY_MAX = 64 << 20;

/** Counts spans instead of keeping them, if it is there. */
let tally;
let spans = [];
/** What was wrong with requests; the exporter is told, but a test would not see it. */
let failures = [];
let requests = 0;
let bytes = 0;

const server = createServer(async (request, response) => {
  const { method, url, headers } = request;
  const type = headers["content-type"];
  try {
    if (method !== "POST" || url !== "/v1/traces") throw new Error(`${method} ${url}`);
    const body = await bodyOf(request);
    const decoded = decode(type, body);
    requests++;
    bytes += body.length;
    if (tally === undefined) spans.push(...plain(decoded));
    else tally.add(decoded);
    // "All is well": an empty message in the encoding of the request.
    response.writeHead(200, { "content-type": type });
    response.end(type === "application/json" ? "{}" : "");
  } catch (error) {
    failures.push(String(error));
    response.writeHead(400).end();
  }
});

async function bodyOf(request) {
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length > BODY_MAX) throw new Error(`a body of more than ${BODY_MAX} bytes`);
    chunks.push(chunk);
  }
  const body = Buffer.concat(chunks);
  if (request.headers["content-encoding"] !== "gzip") return body;
  return gunzipSync(body, { maxOutputLength: BODY_MAX });
}

/** By what `collector.ts` asks for. */
const answers = {
  count: (shape) => {
    tally = new Tally(shape);
    requests = 0;
    bytes = 0;
  },
  tally: () => ({ ...tally.result(), requests, bytes }),
  arrived: () => tally?.spans ?? spans.length,
  spans: () => {
    const collected = spans;
    spans = [];
    return collected;
  },
};

process.on("message", ({ question, detail }) => {
  process.send({ question, answer: answers[question](detail), failures });
  failures = [];
});
// The process that asks is gone, or wants no more.
process.on("disconnect", () => process.exit());
server.listen(0, "127.0.0.1", () => {
  process.send({ question: "url", answer: `http://127.0.0.1:${server.address().port}`, failures });
});
