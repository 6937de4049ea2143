/** The stock OpenTelemetry SDK, with the exporters for OTLP/HTTP. */
import { context, DiagLogLevel, diag, propagation, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  BatchSpanProcessor,
  InMemorySpanExporter,
  NodeTracerProvider,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-node";

export const RESOURCE = { "service.name": "export-test", "service.version": "1.2.3" };

/** Spans of one export. */
const BATCH = 2048;

export interface SdkOptions {
  /** Where a collector listens. */
  readonly url: string;
  /** The most spans that have ended and not arrived at any time; more could be lost. */
  readonly spansMax: number;
  /** Keeps the spans, too. */
  readonly keep?: boolean;
  /** In messages of Protocol Buffers instead of JSON. */
  readonly asProtobuf?: boolean;
  /** Where the SDK cuts texts. */
  readonly attributeValueLengthLimit?: number;
}

/** An SDK that is registered for this thread until it is shut down. */
export class Sdk {
  readonly #provider: NodeTracerProvider;
  readonly #exporter: OTLPTraceExporter | ProtobufExporter;
  readonly #memory = new InMemorySpanExporter();
  /** What the SDK has complained about. */
  readonly complaints: string[] = [];

  constructor({ url, spansMax, keep = false, asProtobuf, ...limits }: SdkOptions) {
    const complain = (...what: readonly unknown[]): void => {
      this.complaints.push(what.map(String).join(" "));
    };
    const silent = { info: complain, debug: complain, verbose: complain };
    diag.setLogger({ error: complain, warn: complain, ...silent }, DiagLogLevel.WARN);
    // More exports at the same time than its default would be refused: a flush starts all at once.
    const concurrencyLimit = Math.ceil(spansMax / BATCH) + 1;
    const Exporter = asProtobuf ? ProtobufExporter : OTLPTraceExporter;
    this.#exporter = new Exporter({ url: `${url}/v1/traces`, concurrencyLimit });
    const sizes = { maxQueueSize: Math.max(spansMax, BATCH), maxExportBatchSize: BATCH };
    this.#provider = new NodeTracerProvider({
      resource: resourceFromAttributes(RESOURCE),
      spanLimits: limits,
      spanProcessors: [
        new BatchSpanProcessor(this.#exporter, sizes),
        ...(keep ? [new SimpleSpanProcessor(this.#memory)] : []),
      ],
    });
    this.#provider.register();
  }

  /** What has ended, if the spans are kept. */
  get spans(): ReturnType<InMemorySpanExporter["getFinishedSpans"]> {
    return this.#memory.getFinishedSpans();
  }

  /** Waits until the collector has all spans that have ended. */
  async flush(): Promise<void> {
    await this.#provider.forceFlush();
    // A batch that was on its way already.
    await this.#exporter.forceFlush();
  }

  /** Sends what is left, and unregisters. */
  async shutdown(): Promise<void> {
    await this.#provider.shutdown();
    for (const api of [trace, context, propagation, diag]) api.disable();
  }
}
