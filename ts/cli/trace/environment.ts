/** What OpenTelemetry's environment variables say to whoever makes spans. */
import type { SpanIds } from "../../internal/telemetry/spans.js";

/**
 * Attributes of the resource: those of `OTEL_RESOURCE_ATTRIBUTES`, with `OTEL_SERVICE_NAME` before them. As
 * the specification has it, an empty variable is none, and one that is malformed says nothing at all.
 */
export function resourceAttributes(env: NodeJS.ProcessEnv): Record<string, string> {
  const attributes = pairsOf(env["OTEL_RESOURCE_ATTRIBUTES"] ?? "") ?? {};
  const name = env["OTEL_SERVICE_NAME"]?.trim() || attributes["service.name"] || "ampoule";
  return { ...attributes, "service.name": name };
}

/** `key=value` pairs, separated by commas, with percent-encoded values. */
function pairsOf(list: string): Record<string, string> | null {
  const pairs: [string, string][] = [];
  for (const part of list.split(",").filter((each) => each.trim() !== "")) {
    const at = part.indexOf("=");
    const key = part.slice(0, Math.max(at, 0)).trim();
    if (key === "") return null;
    try {
      pairs.push([decodeURIComponent(key), decodeURIComponent(part.slice(at + 1).trim())]);
    } catch {
      return null;
    }
  }
  return Object.fromEntries(pairs);
}

/**
 * The span that `TRACEPARENT` names, in which whoever started this process did; `null` if there is none,
 * or if it is malformed, as the W3C's recommendation has it.
 */
export function remoteParent(env: NodeJS.ProcessEnv): SpanIds | null {
  const text = env["TRACEPARENT"]?.trim() ?? "";
  const match = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(text);
  const [, traceId = "", spanId = "", flags = "", more] = match ?? [];
  const isKnown = match !== null && (more === undefined || !text.startsWith("00"));
  if (!isKnown || /^0*$/.test(traceId) || /^0*$/.test(spanId)) return null;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) };
}
