/** `ampoule trace`, as a process. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { rustGuest } from "./support/guests.js";
import { describeWithKvm } from "./support/kvm.js";
import { Collector } from "./support/otlp/collector.js";

const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

/** Host functions of the guest `testing`; `interrupted` ones press Ctrl-C and never return. */
const HOST = (fetchNumber: string): string =>
  [
    `export const fetch_number = ${fetchNumber};`,
    'export const fetch_user = (id) => ({ id, name: "Ada" });',
    "export const log_line = () => {};",
    "export const transform = (bytes) => bytes;",
    'export const describe_values = () => "";\n',
  ].join("\n");

/** Makes Node.js believe that no OpenTelemetry package is installed. */
const WITHOUT_OPENTELEMETRY = `import { register } from "node:module";
const hooks = \`export async function resolve(specifier, context, next) {
  if (!specifier.startsWith("@opentelemetry/")) return next(specifier, context);
  throw Object.assign(new Error("Cannot find package"), { code: "ERR_MODULE_NOT_FOUND" });
}\`;
register("data:text/javascript," + encodeURIComponent(hooks));
`;

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ampoule-trace-"));
  const interrupting = '() => (process.kill(process.pid, "SIGINT"), new Promise(() => {}))';
  writeFileSync(join(folder, "host.mjs"), HOST("async (id) => id * 2"));
  writeFileSync(join(folder, "interrupting.mjs"), HOST(interrupting));
  writeFileSync(join(folder, "without.mjs"), WITHOUT_OPENTELEMETRY);
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function ampoule(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Result {
  const { FORCE_COLOR: _, ...inherited } = process.env;
  const env = { ...inherited, ...environment };
  const options = { encoding: "utf8", cwd: folder, env, maxBuffer: 2 ** 28 } as const;
  return spawnSync(process.execPath, [MAIN, ...args], options);
}

function trace(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Result {
  const [name = "", ...others] = args.filter((each) => !each.startsWith("--"));
  const flags = args.filter((each) => each.startsWith("--"));
  // The last one counts.
  return ampoule(
    [
      "trace",
      "--trace=trace",
      "--host-functions=host.mjs",
      ...flags,
      rustGuest("testing"),
      name,
      ...others,
    ],
    environment,
  );
}

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | null;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly durationNs: number;
  readonly status: { readonly code: string; readonly message?: string };
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly events: readonly {
    readonly name: string;
    readonly timeUnixNano: string;
    readonly attributes: Readonly<Record<string, unknown>>;
  }[];
}

/** Names of the spans, each below its parent. */
function pathsOf(spans: readonly Span[]): string[] {
  const paths = new Map<string | null, string>();
  for (const { spanId, parentSpanId, name } of spans) {
    const above = paths.get(parentSpanId);
    paths.set(spanId, above === undefined ? name : `${above} / ${name}`);
  }
  return [...paths.values()];
}

/** The lines of a waterfall without what differs from run to run: times, axis and bars. */
function timeless(stdout: string): string[] {
  const [axis, ...lines] = stdout.trimEnd().split("\n");
  expect(axis).toMatch(/^ +╷0/);
  return lines.map((line) =>
    line.replace(/\d+(\.\d+)? (ns|us|ms|s)\b/, "T").replace(/ +T {2}[ ━╸╺─╴╶◆]+$/, " T"),
  );
}

const HOST_IN_SPAN = [
  "call host_in_span T",
  "└─ first T",
  "   └─ second number=2 T",
  "      └─ third T",
  "         ├─ ◆ +T INFO  deep inside",
  "         ├─ ◆ +T INFO  before",
  "         ├─ host fetch_number T",
  "         └─ ◆ +T INFO  behind",
  "",
  "━ 3 guest spans, ─ 1 host function call, ◆ 3 events",
  "",
  "result: 42",
];

test("a wrong command line is exit code 2, before anything runs", () => {
  const cases: [string[], string][] = [
    [["trace", "guest"], "missing required argument 'function'"],
    [["trace", "--trace=loud", "nowhere", "add"], "--trace must be a list of LEVEL"],
    [["trace", "--otlp=localhost:4318", "nowhere", "add"], "--otlp must be an http:"],
  ];
  for (const [args, text] of cases) {
    const { status, stdout, stderr } = ampoule(args);
    expect([args, status, stdout]).toEqual([args, 2, ""]);
    expect(stderr).toContain(text);
  }
  expect(ampoule(["trace", "nowhere", "add"]).status).toBe(127);
  expect(ampoule(["trace", "--help"])).toMatchObject({
    status: 0,
    stdout: expect.stringContaining("--chrome <file>"),
  });
});

test("without the exporter, --otlp says what to install, before anything runs", () => {
  const environment = { NODE_OPTIONS: `--import=${join(folder, "without.mjs")}` };
  const { status, stdout, stderr } = ampoule(
    ["trace", "--otlp=http://127.0.0.1:4318", "nowhere", "add"],
    environment,
  );
  expect([status, stdout]).toEqual([2, ""]);
  expect(stderr).toContain(
    "run npm install @opentelemetry/api @opentelemetry/exporter-trace-otlp-http [ERR_AMPOULE_INVALID_ARGUMENT]",
  );
});

describeWithKvm("trace", () => {
  test("shows a waterfall of 80 columns and the result", () => {
    const { status, stdout, stderr } = trace(["host_in_span", "21"]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(timeless(stdout)).toEqual(HOST_IN_SPAN);
    const lines = stdout.split("\n");
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
    expect(lines[1]).toMatch(/━{30,}$/);
    expect(lines.find((line) => line.includes("fetch_number"))).toMatch(/ [─╴╶]+$/);
    expect(lines.find((line) => line.includes("third"))).toContain("◆");
  });

  test("colours are for terminals, or for who asks for them", () => {
    expect(trace(["host_in_span", "21"]).stdout).not.toContain("\u001b");
    const { stdout } = trace(["host_in_span", "21"], { FORCE_COLOR: "1" });
    expect(stdout).toContain("\u001b[1mcall host_in_span\u001b[22m");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is to be removed
    expect(timeless(stdout.replaceAll(/\u001b\[\d+m/g, ""))).toEqual(HOST_IN_SPAN);
    expect(trace(["host_in_span", "21"], { FORCE_COLOR: "0" }).stdout).not.toContain("\u001b");
  });

  test("directives say what the guest records; `info` without any", () => {
    const eventsIn = ({ stdout }: Result): string[] =>
      stdout
        .split("\n")
        .filter((line) => line.includes("◆ +"))
        .map((line) => line.replace(/^.*(ns|us|ms|s) /, ""));
    const eventsOf = (flag: string): string[] => eventsIn(trace([flag, "levels"]));
    const host = "--host-functions=host.mjs";
    expect(eventsIn(ampoule(["trace", host, rustGuest("testing"), "levels"]))).toHaveLength(6);
    expect(eventsOf("--trace=trace")).toHaveLength(10);
    expect(eventsOf("--trace=off,other::target=warn")).toEqual([
      "ERROR other error",
      "WARN  other warn",
    ]);
  });

  test("a guest that records nothing has its call, and a hint", () => {
    const nothing = trace(["nothing"]);
    expect([nothing.status, nothing.stderr]).toEqual([0, ""]);
    expect(timeless(nothing.stdout).slice(0, 4)).toEqual([
      "call nothing T",
      "",
      "━ 0 guest spans, ─ 0 host function calls, ◆ 0 events",
      "The guest recorded nothing. Spans and events of the Rust crates `tracing` and",
    ]);
    expect(trace(["--trace=off", "nested", "2"]).stdout).toContain(
      "The guest recorded nothing at --trace off; --trace trace shows all there is.\n",
    );
  });

  test("of many spans and events, the first and the last are shown", () => {
    const lines = timeless(trace(["many_events", "1000"]).stdout);
    expect(lines.slice(0, 3)).toEqual([
      "call many_events T",
      "└─ many count=1000 T",
      "   ├─ ◆ +T INFO  one number=0",
    ]);
    expect(lines.slice(31, 34)).toEqual([
      "   ├─ ◆ +T INFO  one number=29",
      "   ├─ … 960 more spans and events; --json has all of them",
      "   ├─ ◆ +T INFO  one number=990",
    ]);
    expect(lines).toContain("━ 1 guest span, ─ 0 host function calls, ◆ 1000 events");
    const deep = timeless(trace(["nested", "500"]).stdout);
    expect(deep.filter((line) => line.includes("level number="))).toHaveLength(500);
  });

  test("a call that fails shows what there was until then, and its error", () => {
    const cases: [string[], number, string][] = [
      [["fault_in_spans"], 125, "ERR_AMPOULE_GUEST_FAULT"],
      [["--timeout=200", "spin_in_spans"], 124, "ERR_AMPOULE_TIMEOUT"],
      [["--host-functions=interrupting.mjs", "host_in_span", "1"], 125, "ERR_AMPOULE_KILLED"],
    ];
    for (const [args, status, code] of cases) {
      const { stdout, stderr, ...result } = trace(args);
      expect([args, result.status]).toEqual([args, status]);
      expect(stderr).toContain(`[${code}]\n`);
      const lines = timeless(stdout);
      expect(lines[0]).toMatch(/^✗ call \w+ T$/);
      const spans = lines.slice(lines.indexOf("└─ ✗ first T"));
      expect(spans.filter((line) => !line.includes("◆ +")).slice(0, 4)).toEqual([
        "└─ ✗ first T",
        "   │  the guest was stopped",
        "   └─ ✗ second number=2 T",
        "      └─ ✗ third T",
      ]);
      expect(stdout).toMatch(/\n {9}[├└]─ ◆ \+\S+ .s INFO {2}deep inside\n/);
      expect(stdout).not.toContain("result:");
    }
    // A panic unwinds: it closes its spans, which say so, and the panic itself is an event.
    const panicked = trace(["panics_in_spans"]);
    expect([panicked.status, panicked.stderr]).toEqual([125, expect.stringContaining("ABORT]\n")]);
    expect(timeless(panicked.stdout).slice(1, 8)).toEqual([
      expect.stringMatching(
        /^│ {2}the guest aborted: in the third span \(fixtures.testing.src.traced\.rs:\d+/,
      ),
      "└─ ✗ first T",
      "   │  the guest panicked",
      "   └─ ✗ second number=2 T",
      "      └─ ✗ third T",
      "         ├─ ◆ +T INFO  deep inside",
      "         └─ ◆ +T ERROR in the third span",
    ]);
    expect(trace(["nope"])).toMatchObject({ status: 2, stdout: "" });
  });

  test.each([80, 40, 30, 24])("no line is longer than a terminal of %i columns", (columns) => {
    const command = [process.execPath, MAIN, "trace", "--trace=info", "--host-functions=host.mjs"];
    const words = [...command, rustGuest("testing"), "host_in_span", "21"];
    // The terminal that `script` makes has no size of its own.
    const line = `stty cols ${columns} && ${words.map((word) => `'${word}'`).join(" ")}`;
    const { stdout, status } = spawnSync("script", ["-qec", line, "/dev/null"], {
      encoding: "utf8",
      cwd: folder,
      env: { ...process.env, NO_COLOR: "1" },
    });
    expect(status).toBe(0);
    const lines = stdout.split(/\r?\n/);
    expect(lines.filter((each) => [...each].length > columns)).toEqual([]);
    const text = lines.join(" ").replaceAll(/\s+/g, " ");
    expect(text).toContain("━ 3 guest spans, ─ 1 host function call, ◆ 3 events");
    expect(lines.filter((each) => /[━╸╺─╴╶◆]$/.test(each)).length).toBeGreaterThan(3);
  });

  test("goes on from the span that TRACEPARENT names", () => {
    const [traceId, spanId] = ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"];
    const spansOf = (TRACEPARENT: string): readonly Span[] =>
      JSON.parse(trace(["--json", "host_in_span", "21"], { TRACEPARENT }).stdout).spans;
    const [call, ...others] = spansOf(`00-${traceId}-${spanId}-01`);
    expect(call).toMatchObject({
      traceId,
      parentSpanId: spanId,
      name: "ampoule.call host_in_span",
    });
    expect(new Set(others.map((each) => each.traceId))).toEqual(new Set([traceId]));
    for (const malformed of ["", `00-${traceId}-${spanId}`, `00-${"0".repeat(32)}-${spanId}-01`]) {
      expect(spansOf(malformed)[0]).toMatchObject({ parentSpanId: null });
    }
  });

  test("what a guest writes gives no commands to the terminal", () => {
    const { stdout } = trace(["panic", "\u001b[2Jcle\u0007ared\nand \u202etwo"]);
    expect(stdout).toContain("\ufffd[2Jcle\ufffdared and \ufffdtwo");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  });

  test("a span that is open when the call returns is marked", () => {
    expect(timeless(trace(["leaves_open"]).stdout)[1]).toBe("└─ left open (not closed) T");
  });

  test("--json has everything, exactly", () => {
    const { status, stdout } = trace(["--json", "host_in_span", "21"]);
    expect(status).toBe(0);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ result: 42, error: null, statistics: { calls: 1 } });
    expect([typeof report.createMs, typeof report.callMs]).toEqual(["number", "number"]);
    const spans: Span[] = report.spans;
    expect(pathsOf(spans)).toEqual([
      "ampoule.call host_in_span",
      "ampoule.call host_in_span / first",
      "ampoule.call host_in_span / first / second",
      "ampoule.call host_in_span / first / second / third",
      "ampoule.call host_in_span / first / second / third / ampoule.host fetch_number",
    ]);
    expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(1);
    for (const { traceId, spanId, status, ...times } of spans) {
      expect([traceId, spanId]).toEqual([
        expect.stringMatching(/^[0-9a-f]{32}$/),
        expect.stringMatching(/^[0-9a-f]{16}$/),
      ]);
      expect(status).toEqual({ code: "unset" });
      const duration = BigInt(times.endTimeUnixNano) - BigInt(times.startTimeUnixNano);
      expect(duration).toBe(BigInt(times.durationNs));
    }
    const second = spans[2];
    expect(second?.attributes).toMatchObject({ number: 2, "ampoule.level": "info" });
    const third = spans[3];
    expect(third?.events.map(({ name }) => name)).toEqual(["deep inside", "before", "behind"]);
    const within = third?.events.map(({ timeUnixNano }) => BigInt(timeUnixNano)) ?? [];
    const bounds = [BigInt(third?.startTimeUnixNano ?? 0), BigInt(third?.endTimeUnixNano ?? 0)];
    expect([bounds[0], ...within, bounds[1]]).toEqual(
      [bounds[0], ...within, bounds[1]].sort((a, b) => Number((a ?? 0n) - (b ?? 0n))),
    );
  });

  test("--json of a call that fails has its error and its spans", () => {
    const { status, stdout, stderr } = trace(["--json", "fault_in_spans"]);
    expect(status).toBe(125);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({
      result: null,
      error: { code: "ERR_AMPOULE_GUEST_FAULT" },
      callMs: null,
    });
    expect(JSON.parse(stderr).error).toEqual(report.error);
    const statuses = report.spans.map(({ name, status }: Span) => [name, status]);
    const stopped = { code: "error", message: "the guest was stopped" };
    expect(statuses).toEqual([
      ["ampoule.call fault_in_spans", { code: "error", message: report.error.message }],
      ["first", stopped],
      ["second", stopped],
      ["third", stopped],
    ]);
  });

  test("--chrome writes complete events that nest on their threads", () => {
    const file = (name: string): string => join(folder, name);
    expect(trace(["--chrome=host.json", "host_in_span", "21"]).status).toBe(0);
    const { threads, instants, metadata } = readChrome(file("host.json"));
    expect(threads).toEqual([
      ["ampoule.call host_in_span", "first", "second", "third", "ampoule.host fetch_number"],
    ]);
    expect(instants).toEqual(["deep inside", "before", "behind"]);
    expect(metadata).toEqual([
      ["process_name", "ampoule: testing"],
      ["thread_name", "call"],
    ]);
    // Spans that overlap cannot share a thread.
    trace(["--chrome=parents.json", "parents"]);
    const overlapping = readChrome(file("parents.json"));
    expect(overlapping.threads).toEqual([
      ["ampoule.call parents", "outer", "inner", "named"],
      ["root"],
    ]);

    const missing = trace(["--chrome=missing/trace.json", "nothing"]);
    expect(missing.status).toBe(2);
    expect(missing.stdout).toContain("call nothing");
    expect(missing.stderr).toContain("--chrome cannot be written: ENOENT");
  });

  test("--otlp sends the trace to a collector", async () => {
    const collector = await Collector.start();
    try {
      const sent = trace([`--otlp=${collector.url}`, "host_in_span", "21"]);
      expect([sent.status, sent.stderr]).toEqual([0, ""]);
      expect(timeless(sent.stdout)).toEqual(HOST_IN_SPAN);
      const spans = await collector.spans();
      const names = new Map(spans.map(({ spanId, name }) => [spanId, name]));
      expect(spans.map(({ name, parentSpanId }) => [name, names.get(parentSpanId)])).toEqual([
        ["ampoule.call host_in_span", undefined],
        ["first", "ampoule.call host_in_span"],
        ["second", "first"],
        ["third", "second"],
        ["ampoule.host fetch_number", "third"],
      ]);
      const { version } = JSON.parse(
        readFileSync(new URL("../package.json", import.meta.url), "utf8"),
      );
      for (const { kind, scope, resource, status, dropped } of spans) {
        expect({ kind, scope, resource, status, dropped }).toEqual({
          kind: 1,
          scope: { name: "ampoule", version },
          resource: { "service.name": "ampoule" },
          status: { code: 0, message: "" },
          dropped: 0,
        });
      }
      expect(spans[3]?.events.map(({ name }) => name)).toEqual(["deep inside", "before", "behind"]);

      const url = `${collector.url}/v1/traces`;
      const failed = trace([`--otlp=${url}`, "--json", "fault_in_spans"], {
        OTEL_SERVICE_NAME: "renderer",
      });
      expect(failed.status).toBe(125);
      const recorded: Span[] = JSON.parse(failed.stdout).spans;
      const arrived = await collector.spans();
      expect(arrived.map(({ spanId, start, end }) => [spanId, String(start), String(end)])).toEqual(
        recorded.map((span) => [span.spanId, span.startTimeUnixNano, span.endTimeUnixNano]),
      );
      expect(arrived.map(({ status }) => status.code)).toEqual([2, 2, 2, 2]);
      expect(arrived[0]?.resource).toEqual({ "service.name": "renderer" });

      const OTEL_RESOURCE_ATTRIBUTES = "team=a%2Cb, service.name=listed";
      const resources = [
        [{ OTEL_RESOURCE_ATTRIBUTES }, { team: "a,b", "service.name": "listed" }],
        [
          { OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME: "" },
          { team: "a,b", "service.name": "listed" },
        ],
        [
          { OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME: "named" },
          { team: "a,b", "service.name": "named" },
        ],
        [
          { OTEL_RESOURCE_ATTRIBUTES: "no pair", OTEL_SERVICE_NAME: "" },
          { "service.name": "ampoule" },
        ],
      ] as const;
      for (const [environment, expected] of resources) {
        trace([`--otlp=${url}`, "nothing"], environment);
        const [call] = await collector.spans();
        expect(call?.resource).toEqual(expected);
      }
    } finally {
      await collector.close();
    }
  });

  test("an endpoint that cannot be reached, or refuses, is an error that names it", async () => {
    // The exporter tries again as long as it has time, which is its own business.
    const hurry = { OTEL_EXPORTER_OTLP_TIMEOUT: "500" };
    const url = `http://127.0.0.1:${await closedPort()}`;
    const unreachable = trace([`--otlp=${url}`, "host_in_span", "21"], hurry);
    expect(unreachable.status).toBe(125);
    expect(timeless(unreachable.stdout)).toEqual(HOST_IN_SPAN);
    expect(unreachable.stderr).toContain(`could not be sent to ${url}/v1/traces: connect ECONNREF`);
    const collector = await Collector.start();
    try {
      const refused = trace([`--otlp=${collector.url}/elsewhere`, "nothing"], hurry);
      expect(refused.status).toBe(125);
      expect(refused.stderr).toContain(
        `could not be sent to ${collector.url}/elsewhere: HTTP status 400`,
      );
    } finally {
      await collector.close();
    }
    // What is wrong with the call itself counts more.
    const both = trace([`--otlp=${url}`, "buy", "tea", "9"], hurry);
    expect(both.status).toBe(1);
    expect(both.stderr).toMatch(/ERR_AMPOULE_GUEST_ERROR.*\n.*could not be sent/);
  });
});

/** A port on which nobody listens. */
function closedPort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

interface ChromeEvent {
  readonly ph: string;
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  readonly dur: number;
  readonly args: { readonly name?: string };
}

/** Reads a trace file and checks its form; names of spans by thread, of instants and of metadata. */
function readChrome(file: string): {
  threads: string[][];
  instants: string[];
  metadata: [string, unknown][];
} {
  const { displayTimeUnit, traceEvents, otherData } = JSON.parse(readFileSync(file, "utf8"));
  expect([displayTimeUnit, otherData]).toEqual([
    "ns",
    {
      traceId: expect.stringMatching(/^[0-9a-f]{32}$/),
      startTimeUnixNano: expect.stringMatching(/^\d{19}$/),
    },
  ]);
  const of = (kind: string): ChromeEvent[] =>
    traceEvents.filter(({ ph }: ChromeEvent) => ph === kind);
  expect(of("M").length + of("X").length + of("i").length).toBe(traceEvents.length);
  // Nanoseconds, in which the times are whole numbers.
  const nanoseconds = (time: number): number => {
    expect(time * 1000).toBeCloseTo(Math.round(time * 1000), 3);
    return Math.round(time * 1000);
  };
  const threads: string[][] = [];
  for (const { name } of of("M").filter(({ name }) => name === "thread_name")) {
    const open: number[] = [];
    const names: string[] = [];
    const tid = threads.length + 1;
    expect(name).toBe("thread_name");
    for (const span of of("X").filter((each) => each.tid === tid)) {
      expect([span.pid, typeof span.args]).toEqual([1, "object"]);
      const [start, end] = [nanoseconds(span.ts), nanoseconds(span.ts) + nanoseconds(span.dur)];
      expect(start).toBeGreaterThanOrEqual(0);
      while ((open.at(-1) ?? end) <= start && open.length > 0) open.pop();
      expect(end).toBeLessThanOrEqual(open.at(-1) ?? end);
      open.push(end);
      names.push(span.name);
    }
    threads.push(names);
  }
  return {
    threads,
    instants: of("i").map(({ name }) => name),
    metadata: of("M").map(({ name, args }) => [name, args.name]),
  };
}
