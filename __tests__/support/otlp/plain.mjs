/** Spans as tests compare them, from the messages of the protocol; see `CollectedSpan`. */

/** The spans of an `ExportTraceServiceRequest`, in its order. Throws if one is not valid. */
export function* plain({ resourceSpans = [] }) {
  for (const { resource, scopeSpans = [] } of resourceSpans) {
    for (const { scope, spans = [] } of scopeSpans) {
      for (const span of spans) yield plainSpan(span, resource, scope);
    }
  }
}

function plainSpan(span, resource, scope) {
  const { events = [], links = [], status } = span;
  return {
    ...identity(span),
    parentSpanId: span.parentSpanId?.length ? identifier(span.parentSpanId, 8) : "",
    name: filled(span.name),
    kind: span.kind ?? 0,
    start: time(span.startTimeUnixNano),
    end: time(span.endTimeUnixNano),
    attributes: attributesOf(span.attributes),
    events: events.map((event) => ({
      name: filled(event.name),
      time: time(event.timeUnixNano),
      attributes: attributesOf(event.attributes),
    })),
    links: links.map((link) => ({ ...identity(link), attributes: attributesOf(link.attributes) })),
    status: { code: status?.code ?? 0, message: status?.message ?? "" },
    dropped: ["Attributes", "Events", "Links"].reduce(
      (sum, what) => sum + (span[`dropped${what}Count`] ?? 0),
      0,
    ),
    scope: { name: filled(scope?.name), version: scope.version ?? "" },
    resource: attributesOf(resource?.attributes),
  };
}

function identity({ traceId, spanId, traceState = "", flags = 0 }) {
  return { traceId: identifier(traceId, 16), spanId: identifier(spanId, 8), traceState, flags };
}

/** Hexadecimal. */
function identifier(bytes, length) {
  if (bytes?.length !== length || bytes.every((byte) => byte === 0)) {
    throw new Error(`an identifier of bytes [${bytes}]`);
  }
  return Buffer.from(bytes).toString("hex");
}

function filled(name) {
  if (name === undefined || name === "") throw new Error("an empty name");
  return name;
}

function time(nanoseconds) {
  if (nanoseconds === undefined) throw new Error("no time");
  return BigInt(nanoseconds.toString());
}

/** Attributes by key. */
export function attributesOf(pairs = []) {
  const found = {};
  for (const { key, value } of pairs) {
    if (Object.hasOwn(found, filled(key))) throw new Error(`two attributes ${key}`);
    found[key] = anyValue(value);
  }
  return found;
}

/** A 64-bit integer becomes a `bigint`, so that it is not mistaken for a double. */
function anyValue(message = {}) {
  const [[kind, value] = ["nothing"], ...more] = Object.entries(message);
  if (more.length > 0) throw new Error("an attribute of two values");
  switch (kind) {
    case "intValue":
      return BigInt(value.toString());
    case "stringValue":
    case "boolValue":
    case "doubleValue":
      return value;
    case "arrayValue":
      return (value.values ?? []).map(anyValue);
    default:
      throw new Error(`an attribute of ${kind}`);
  }
}
