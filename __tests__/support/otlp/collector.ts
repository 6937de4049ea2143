/** A collector of traces in a process of its own, as `collecting.mjs` runs it. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

const PROGRAM = fileURLToPath(new URL("collecting.mjs", import.meta.url));

type Value = boolean | bigint | number | string | readonly Value[];
type Attributes = Readonly<Record<string, Value>>;

/** A span as it arrived: identifiers in hexadecimal, times in nanoseconds since 1970. */
export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly traceState: string;
  readonly flags: number;
  /** Empty in a span that begins a trace. */
  readonly parentSpanId: string;
  readonly name: string;
  /** By the protocol's numbers: 1 is internal, 2 server, 3 client. */
  readonly kind: number;
  readonly start: bigint;
  readonly end: bigint;
  readonly attributes: Attributes;
  readonly events: readonly {
    readonly name: string;
    readonly time: bigint;
    readonly attributes: Attributes;
  }[];
  readonly links: readonly {
    readonly traceId: string;
    readonly spanId: string;
    readonly traceState: string;
    readonly flags: number;
    readonly attributes: Attributes;
  }[];
  /** 0 is unset, 1 ok, 2 error. */
  readonly status: { readonly code: number; readonly message: string };
  /** Attributes, events and links that the SDK left out. */
  readonly dropped: number;
  readonly scope: { readonly name: string; readonly version: string };
  readonly resource: Attributes;
}

/** One of the spans that every trace has once. */
export interface SpanShape {
  readonly name: string;
  /** Name of the span that it is a child of; the span outside if there is none of that name. */
  readonly parent: string;
  readonly scope: { readonly name: string; readonly version: string };
  /** Attributes that it has, `"number"` for the number of the trace. */
  readonly attributes: Readonly<Record<string, string>>;
  /** It may begin before its parent, or end after it. */
  readonly isLoose?: boolean;
}

/** What the traces look like that are counted. */
export interface TallyShape {
  /** Traces have the numbers from 1 to this. */
  readonly traces: number;
  /** The first half of the traces' ids, 16 hexadecimal digits; the other half is the number. */
  readonly prefix: string;
  readonly resource: Readonly<Record<string, string>>;
  readonly spans: readonly SpanShape[];
}

export interface TallyResult {
  readonly requests: number;
  readonly bytes: number;
  readonly spans: number;
  /** How many different ids the spans had that were expected. */
  readonly distinct: number;
  /** Spans that did not come. */
  readonly lost: number;
  /** Spans lost, doubled or unknown, with another parent, scope, attribute, resource or time. */
  readonly problems: number;
  /** The first of them. */
  readonly described: readonly string[];
}

interface Reply {
  readonly question: string;
  readonly answer: unknown;
  readonly failures: readonly string[];
}

export class Collector {
  readonly #process: ReturnType<typeof fork>;
  /** Where it listens, without the path. */
  readonly url: string;

  private constructor(child: ReturnType<typeof fork>, url: string) {
    this.#process = child;
    this.url = url;
  }

  static async start(): Promise<Collector> {
    const child = fork(PROGRAM, { serialization: "advanced" });
    return new Collector(child, (await reply(child, "url")) as string);
  }

  /** How many spans are kept or counted. */
  async arrived(): Promise<number> {
    return (await this.#ask("arrived")) as number;
  }

  /** The spans that have come since this was called last. */
  async spans(): Promise<CollectedSpan[]> {
    return (await this.#ask("spans")) as CollectedSpan[];
  }

  /** From now on, spans are counted instead of kept. */
  async count(shape: TallyShape): Promise<void> {
    await this.#ask("count", shape);
  }

  /** What was counted; to be asked when all spans have come. */
  async tally(): Promise<TallyResult> {
    return (await this.#ask("tally")) as TallyResult;
  }

  #ask(question: string, detail?: unknown): Promise<unknown> {
    const answer = reply(this.#process, question);
    this.#process.send({ question, detail });
    return answer;
  }

  /** Ends the process. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#process.once("exit", () => resolve());
      this.#process.disconnect();
    });
  }
}

/** The answer to a question; an error if a request was refused since the last one. */
function reply(child: ReturnType<typeof fork>, question: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void => reject(new Error(`the collector ended: ${code}`));
    const heard = (message: unknown): void => {
      const { question: answered, answer, failures } = message as Reply;
      if (answered !== question) return;
      child.off("message", heard).off("exit", ended);
      if (failures.length === 0) resolve(answer);
      else reject(new Error(`the collector refused requests: ${failures.slice(0, 3).join("; ")}`));
    };
    child.on("message", heard).on("exit", ended);
  });
}
