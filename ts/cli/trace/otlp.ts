/** Hands a trace to OpenTelemetry's own exporter, which sends it to an OTLP/HTTP endpoint. */
import type { DiagLogger, HrTime } from "@opentelemetry/api";
import type { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { invalid } from "../../internal/options/checks.js";
import { instrumentationScope, SCHEMA_URL } from "../../internal/telemetry/api.js";
import type { SpanIds } from "../../internal/telemetry/spans.js";
import { resourceAttributes } from "./environment.js";
import type { RecordedSpan } from "./recording.js";

type ReadableSpan = Parameters<OTLPTraceExporter["export"]>[0][number];

const PACKAGES = "@opentelemetry/api @opentelemetry/exporter-trace-otlp-http";

/** Sends spans to one endpoint. */
export interface SpanExport {
  /** @throws Error that names the endpoint and what was wrong. */
  send(spans: readonly RecordedSpan[]): Promise<void>;
}

/**
 * Gets ready to send to `endpoint`: a URL without a path means the standard path `v1/traces` there, any
 * other is used as it is. Headers, time limits and the like come from the environment variables that
 * OpenTelemetry specifies for exporters.
 *
 * @throws AmpouleError `ERR_AMPOULE_INVALID_ARGUMENT` if the endpoint is no URL or the exporter is not
 * installed.
 */
export async function openExport(endpoint: string): Promise<SpanExport> {
  const url = tracesUrl(endpoint);
  const [api, exporters] = await load();
  // The exporter says there, and nowhere else, that the receiver did not want some spans.
  api.diag.setLogger(WARNINGS, api.DiagLogLevel.WARN);
  const exporter = new exporters.OTLPTraceExporter({ url });
  return {
    send: async (spans) => {
      const attributes = resourceAttributes(process.env);
      const resource = { attributes } as unknown as ReadableSpan["resource"];
      const readable = spans.map((span) => readableSpan(span, resource));
      const failure = await new Promise<Error | undefined>((resolve) => {
        exporter.export(readable, ({ code, error }) => {
          // 0 is ExportResultCode.SUCCESS of @opentelemetry/core.
          resolve(code === 0 ? undefined : (error ?? new Error("no reason was given")));
        });
      });
      await exporter.shutdown();
      if (failure === undefined) return;
      throw new Error(`the spans could not be sent to ${url}: ${reasonOf(failure)}`, {
        cause: failure,
      });
    },
  };
}

const silent = (): void => {};
const warn = (...parts: unknown[]): void => {
  process.stderr.write(`ampoule: --otlp: ${parts.map(String).join(" ")}\n`);
};
const WARNINGS: DiagLogger = { error: warn, warn, info: silent, debug: silent, verbose: silent };

function tracesUrl(endpoint: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : null;
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    throw invalid("--otlp", `must be an http: or https: URL, got ${JSON.stringify(endpoint)}`);
  }
  if (url.pathname === "/") url.pathname = "/v1/traces";
  return url.href;
}

async function load() {
  try {
    return await Promise.all([
      import("@opentelemetry/api"),
      import("@opentelemetry/exporter-trace-otlp-http"),
    ]);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw cause;
    throw invalid(
      "--otlp",
      `needs packages that are not installed: run npm install ${PACKAGES}`,
      cause,
    );
  }
}

/** An answer of the endpoint has a status code and a text, a connection that failed only a message. */
function reasonOf(error: Error): string {
  const { code, data } = error as { code?: unknown; data?: unknown };
  const status = typeof code === "number" ? `HTTP status ${code} ` : "";
  return `${status}${error.message}${typeof data === "string" && data !== "" ? `: ${data}` : ""}`;
}

function readableSpan(span: RecordedSpan, resource: ReadableSpan["resource"]): ReadableSpan {
  const context = spanContext(span.ids);
  return {
    name: span.name,
    kind: span.kind,
    spanContext: () => context,
    ...(span.parentSpanId === null
      ? {}
      : { parentSpanContext: spanContext({ ...span.ids, spanId: span.parentSpanId }) }),
    startTime: hrTime(span.start),
    endTime: hrTime(span.end),
    duration: hrTime(span.end - span.start),
    ended: true,
    status: span.failure === null ? { code: 0 } : { code: 2, message: span.failure },
    attributes: { ...span.attributes },
    links: span.links.map((ids) => ({ context: spanContext(ids) })),
    events: span.events.map(({ name, time, attributes }) => ({
      name,
      time: hrTime(time),
      attributes: { ...attributes },
    })),
    resource,
    instrumentationScope: { ...instrumentationScope(), schemaUrl: SCHEMA_URL },
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  };
}

function spanContext(ids: SpanIds) {
  return { traceId: ids.traceId, spanId: ids.spanId, traceFlags: ids.traceFlags };
}

function hrTime(nanoseconds: bigint): HrTime {
  return [Number(nanoseconds / 1_000_000_000n), Number(nanoseconds % 1_000_000_000n)];
}
