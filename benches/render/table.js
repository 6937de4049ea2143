/** The figures as a page of Markdown. */

const TITLES = {
  call: "Calls, in Rust",
  ping: "Shared memory between two spinning processors",
  trace: "Tracing, in Rust",
  restore: "Restore against dirty pages, in Rust",
  memory: "Restore against memory, in Rust",
  create: "Creation, in Rust",
  snapshot: "Snapshots, in Rust",
  "js call": "Calls, from JavaScript",
  "js trace": "Tracing, from JavaScript",
  "js restore": "Restore, snapshot and fork, from JavaScript",
  "js create": "Creation, from JavaScript",
  density: "Density",
  pool: "Pool",
  throughput: "Throughput",
  peers: "Peers",
};
/** Floors have no floor; in tables they are told from what stands on them. */
const FLOORS = [
  ...["exit", "ping", "create", "destroy", "copy", "napi", "hop", "memcpy of 1 MiB"],
  "two spans by the SDK",
];
const UNITS = { memoryMiB: "MiB in the image", pages: "pages", live: "alive" };

/** The page; `picture` is the plot's file name, if there is one. */
export function table(record, picture) {
  const { machine, versions, load, effort, date } = record;
  const place = machine.nested ? "inside a virtual machine" : "bare metal";
  const lines = [
    `# Benchmarks, ${date}`,
    "",
    "<!-- Written by benches/run.js. -->",
    "",
    `- ${machine.cpus} x ${machine.cpu}, ${machine.memory_mib} MiB, ${place}`,
    `- Linux ${machine.kernel}, ${machine.hypervisor}`,
    `- Ampoule ${machine.ampoule} (${versions.commit}), Node.js ${versions.node}, V8 ${versions.v8}`,
    `- effort: ${effort}; load average before and after: ${load.before.toFixed(2)}, ${load.after.toFixed(2)}`,
    "",
    "Microseconds. *x floor* is the median over rounds of the ratio of medians within a round; what it is",
    "compared with took turns with it. Floors are in italics. docs/benchmarks.md says what each row is.",
  ];
  if (picture !== null)
    lines.push("", `![Restore time against dirty pages and memory](${picture})`);
  for (const [benchmark, title] of Object.entries(TITLES)) {
    const rows = record.measurements.filter((each) => each.benchmark === benchmark);
    const counted = record.counted.filter((each) => each.benchmark === benchmark);
    if (rows.length + counted.length === 0) continue;
    lines.push("", `## ${title}`, "");
    lines.push(...counted.map(sentence));
    if (counted.length > 0 && rows.length > 0) lines.push("");
    if (rows.length > 0) lines.push(...rowsOf(rows));
  }
  if (record.notes.length > 0) lines.push("", "## Notes", "", ...record.notes.map((n) => `- ${n}`));
  return `${lines.join("\n")}\n`;
}

function rowsOf(rows) {
  const cells = rows.map((row) => [
    FLOORS.includes(row.name) || row.name === "copy after exit" ? `*${row.name}*` : row.name,
    Object.entries(row.parameters)
      .map(([name, value]) => `${value} ${UNITS[name] ?? name}`)
      .join(", "),
    figure(row.p50),
    figure(row.p90),
    figure(row.p99),
    row.ratio === undefined ? "" : `${ratio(row.ratio)} x ${row.floor}`,
    row.goal === undefined ? "" : `${figure(row.goal)}: ${row.p50 <= row.goal ? "met" : "not met"}`,
    Object.entries(row.counts ?? {})
      .map(([name, value]) => `${Number(value.toFixed(3))} ${name}`)
      .join(", "),
  ]);
  const head = ["what", "at", "p50", "p90", "p99", "x floor", "goal (p50)", "counted"];
  const used = head.map((_, column) => cells.some((row) => row[column] !== ""));
  const pick = (row) => `| ${row.filter((_, column) => used[column]).join(" | ")} |`;
  const rule = head.map((_, column) => (column >= 2 && column <= 4 ? "---:" : "---"));
  return [pick(head), pick(rule), ...cells.map(pick)];
}

function sentence({ name, values, goal, met }) {
  const list = Object.entries(values).map(
    ([key, value]) => `${key.replace("KiB", " KiB")} ${value}`,
  );
  const verdict = goal === undefined ? "" : ` (goal: ${goal}, ${met ? "met" : "not met"})`;
  return `- ${name}: ${list.join(", ")}${verdict}`;
}

/** Three figures that count. */
function figure(value) {
  if (value >= 100) return value.toFixed(0).replaceAll(/\B(?=(\d{3})+$)/g, " ");
  return value.toFixed(value >= 10 ? 1 : 2);
}

function ratio(value) {
  return value >= 10 ? value.toFixed(1) : value.toPrecision(3);
}
