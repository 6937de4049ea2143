/**
 * The OpenTelemetry protocol, decoded by what the OpenTelemetry project generates from its definitions:
 * a release of its exporters' transformer, the last that has it, under a name of its own
 * (`otlp-definitions`), so that the exporter under test and this have no code in common.
 */
import { createRequire } from "node:module";

const { opentelemetry } = createRequire(import.meta.url)(
  "otlp-definitions/build/src/generated/root.js",
);
const Request = opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest;

/**
 * Decodes the body of a request with traces. Stricter than a receiver may be: what the definitions do
 * not know is an error here, and so is a value of another type.
 *
 * @returns an `ExportTraceServiceRequest` as a plain object without what is absent; 64-bit numbers are
 * `Long`, bytes are `Buffer`.
 */
export function decode(contentType, body) {
  switch (contentType) {
    case "application/json":
      return decodeJson(body);
    case "application/x-protobuf":
      return decodeBinary(body);
    default:
      throw new Error(`content type ${contentType}`);
  }
}

function decodeJson(body) {
  const json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  for (const { scopeSpans = [] } of json.resourceSpans ?? []) {
    for (const { spans = [] } of scopeSpans) {
      for (const span of spans) {
        if (span.parentSpanId !== undefined) span.parentSpanId = base64(span.parentSpanId);
        for (const each of [span, ...(span.links ?? [])]) {
          each.traceId = base64(each.traceId);
          each.spanId = base64(each.spanId);
        }
      }
    }
  }
  checkTexts(json, "request");
  const request = Request.fromObject(json);
  // What it does not know it leaves out, and what is of another type it converts.
  compare(json, Request.toObject(request, { longs: String, bytes: String }), "request");
  return Request.toObject(request);
}

/** Identifiers are hexadecimal in OTLP/JSON, other bytes are in base64. */
function base64(hex) {
  if (!/^([0-9a-f]{2})*$/i.test(hex)) throw new Error(`identifier ${JSON.stringify(hex)}`);
  return Buffer.from(hex, "hex").toString("base64");
}

/** Throws for a text that UTF-8 has no bytes for: JSON can spell half of a surrogate pair. */
function checkTexts(sent, where) {
  if (typeof sent === "string" && !sent.isWellFormed()) {
    throw new Error(`${where}: ${JSON.stringify(sent.slice(0, 100))} is not well-formed`);
  }
  if (typeof sent !== "object" || sent === null) return;
  for (const [key, value] of Object.entries(sent)) {
    checkTexts(key, where);
    checkTexts(value, `${where}.${key}`);
  }
}

/** The fields of 64 bits, which may be sent as a number or a text. */
const LONG = /\.(intValue|(start|end)?[tT]imeUnixNano)$/;

/** Throws unless everything in `sent` is in `understood`. */
function compare(sent, understood, where) {
  if (typeof sent !== "object" || sent === null) {
    // Digits alone: a number in another notation is no integer for most decoders.
    const text = LONG.test(where) ? String(sent) : sent;
    if (LONG.test(where) && !/^-?\d+$/.test(text))
      throw new Error(`${where}: ${text} is no integer`);
    if (text !== understood)
      throw new Error(`${where}: ${JSON.stringify(sent)} is understood as ${understood}`);
    return;
  }
  for (const [key, value] of Object.entries(sent)) {
    if (Array.isArray(value) && value.length === 0) continue;
    compare(value, understood?.[key], `${where}.${key}`);
  }
}

function decodeBinary(body) {
  const request = Request.decode(body);
  checkTexts(Request.toObject(request, { longs: String, bytes: String }), "request");
  const length = Request.encode(request).finish().length;
  // Of fields that it does not know nothing is left.
  if (length !== body.length) throw new Error(`${length} of ${body.length} bytes were understood`);
  return Request.toObject(request);
}
