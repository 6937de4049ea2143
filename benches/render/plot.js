/**
 * The restore curve as SVG: time against dirty pages, and against memory in the image, with the floor
 * and the goal. Both panels share one scale of time, so that they can be compared by eye.
 */
const WIDTH = 1280;
const HEIGHT = 672;
const PANEL = { top: 196, height: 400, width: 520, left: [92, 716] };
const COLOURS = { restore: "#0b5fa5", scattered: "#00877a", copy: "#6b7280", goal: "#c2410c" };

/** The picture, or `null` if restore was not measured. */
export function plot(record) {
  const pages = seriesOf(record, "restore", "pages", {
    restore: "restore, pages together",
    scattered: "restore, pages scattered",
  });
  const memory = seriesOf(record, "memory", "memoryMiB", {
    restore: "restore, pages together",
    scattered: "restore, pages scattered",
  });
  if (pages.restore.length < 2 || memory.restore.length < 2) return null;
  // Each restore was measured with a floor of its own; one line of them is enough.
  for (const each of [pages, memory]) {
    each.copy = each.restore.map(({ x, floor }) => ({ x, y: floor }));
    each.goal = each.restore.map(({ x, goal }) => ({ x, y: goal }));
  }
  const values = [pages, memory].flatMap((panel) => Object.values(panel).flat());
  const bounds = {
    low: roundDown(Math.min(...values.map(({ y }) => y))),
    high: 1.15 * Math.max(...values.map(({ y, p90 }) => Math.max(y, p90 ?? y))),
  };
  const dirty = memory.restore[0].pages;
  const left = panel({
    at: PANEL.left[0],
    title: "against the pages that the call wrote",
    label: "dirty pages (4 KiB each), 16 MiB of memory in the image",
    ticks: ticksOf(pages.restore, (value) => `${value}`),
    bounds,
    lines: [
      ["goal", pages.goal, "goal: 3 µs + 1.5 × floor"],
      ["copy", pages.copy, "floor: memcpy of these pages"],
      ["scattered", pages.scattered, "restore, pages spread over 16 MiB"],
      ["restore", pages.restore, "restore, pages side by side"],
    ],
  });
  const right = panel({
    at: PANEL.left[1],
    title: `against the size of memory, at ${dirty} dirty pages`,
    label: "memory in the image, every page of it written before the snapshot",
    ticks: ticksOf(memory.restore, (mib) => (mib >= 1024 ? `${mib / 1024} GiB` : `${mib} MiB`)),
    bounds,
    lines: [
      ["goal", memory.goal, "goal"],
      ["copy", memory.copy, "floor"],
      ["scattered", memory.scattered, "restore, pages spread over all of it"],
      ["restore", memory.restore, "restore, pages side by side"],
    ],
  });
  const { machine, date } = record;
  const place = machine.nested ? ", itself in a virtual machine" : "";
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="Inter, Helvetica, Arial, 'DejaVu Sans', sans-serif" fill="#111827">`,
    `<title>Time to restore a sandbox, against dirty pages and against memory</title>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    text(40, 48, "Time to restore a sandbox: p50, shaded up to p90", { size: 28, weight: 600 }),
    text(
      40,
      76,
      escaped(
        `${machine.cpus} × ${machine.cpu}, ${machine.hypervisor}${place}, Linux ${machine.kernel}, ` +
          `Ampoule ${machine.ampoule}, ${date}`,
      ),
      { size: 14, colour: "#4b5563" },
    ),
    left,
    right,
    "</svg>",
    "",
  ].join("\n");
}

/** The measurements of a benchmark by name, as points ordered by `parameter`. */
function seriesOf({ measurements }, benchmark, parameter, names) {
  const points = (name) => {
    const rows = measurements.filter((row) => row.benchmark === benchmark && row.name === name);
    const byX = new Map(rows.map((row) => [row.parameters[parameter], row]));
    return [...byX]
      .map(([x, { p50, p90, floorP50, goal, parameters }]) => ({
        x,
        y: p50,
        p90,
        floor: floorP50,
        goal,
        pages: parameters.pages,
      }))
      .sort((a, b) => a.x - b.x);
  };
  return Object.fromEntries(Object.entries(names).map(([key, name]) => [key, points(name)]));
}

function ticksOf(points, label) {
  return points.map(({ x }) => ({ x, label: label(x) }));
}

function panel({ at, title, label, ticks, bounds, lines }) {
  const { top, height, width } = PANEL;
  const bottom = top + height;
  const first = ticks[0].x;
  const last = ticks.at(-1).x;
  const inset = 18;
  const toX = (x) => at + inset + (log(x / first) / log(last / first)) * (width - 2 * inset);
  const toY = (y) => bottom - (log(y / bounds.low) / log(bounds.high / bounds.low)) * height;
  const parts = [text(at, top - 70, escaped(title), { size: 17, weight: 600 })];
  for (const value of marks(bounds)) {
    const y = toY(value);
    parts.push(`<path d="M${at} ${n(y)}H${at + width}" stroke="#e5e7eb"/>`);
    parts.push(text(at - 8, y + 4.5, `${value} µs`, { anchor: "end", colour: "#4b5563" }));
  }
  let free = Number.NEGATIVE_INFINITY;
  for (const tick of ticks) {
    const x = toX(tick.x);
    parts.push(`<path d="M${n(x)} ${bottom}v5" stroke="#9ca3af"/>`);
    if (x < free) continue;
    parts.push(text(x, bottom + 21, tick.label, { anchor: "middle", colour: "#4b5563" }));
    free = x + 34;
  }
  parts.push(`<path d="M${at} ${bottom}H${at + width}" stroke="#9ca3af"/>`);
  parts.push(
    text(at + width / 2, bottom + 48, label, { anchor: "middle", size: 14, colour: "#374151" }),
  );
  for (const [name, points] of lines) parts.push(curve(name, points, toX, toY));
  parts.push(legend(at, top - 45, lines));
  parts.push(callout(lines.at(-1)[1], toX, toY));
  return parts.join("\n");
}

function curve(name, points, toX, toY) {
  const colour = COLOURS[name];
  const path = points.map(({ x, y }) => `${n(toX(x))} ${n(toY(y))}`).join("L");
  const measured = name === "restore" || name === "scattered";
  const dash = { copy: "7 5", goal: "2 5" }[name];
  const parts = [];
  if (measured) {
    const upper = points.map(({ x, p90 }) => `${n(toX(x))} ${n(toY(p90))}`).reverse();
    parts.push(`<path d="M${path}L${upper.join("L")}Z" fill="${colour}" opacity="0.13"/>`);
  }
  parts.push(
    `<path d="M${path}" fill="none" stroke="${colour}" stroke-width="${measured ? 3 : 2.4}" ` +
      `stroke-linejoin="round" stroke-linecap="round"${dash ? ` stroke-dasharray="${dash}"` : ""}/>`,
  );
  if (measured) {
    for (const { x, y } of points) {
      parts.push(`<circle cx="${n(toX(x))}" cy="${n(toY(y))}" r="4.5" fill="${colour}"/>`);
    }
  }
  return parts.join("\n");
}

/** Two columns above the panel. */
function legend(at, top, lines) {
  return [...lines]
    .reverse()
    .map(([name, , label], index) => {
      const x = at + (index % 2) * 262;
      const y = top + Math.floor(index / 2) * 22;
      const dash = { copy: "7 5", goal: "2 5" }[name];
      const dashes = dash ? ` stroke-dasharray="${dash}" stroke-linecap="round"` : "";
      return (
        `<path d="M${x} ${y - 4.5}h26" stroke="${COLOURS[name]}" stroke-width="3"${dashes}/>` +
        text(x + 34, y, escaped(label), { size: 14 })
      );
    })
    .join("\n");
}

/** The figure of the point at 64 pages, or of the largest memory. */
function callout(points, toX, toY) {
  const point = points.find(({ x }) => x === 64 && points[0].x < 16) ?? points.at(-1);
  const y = toY(point.y);
  const value = point.y < 10 ? point.y.toFixed(1) : point.y.toFixed(0);
  const anchor = point === points.at(-1) ? "end" : "middle";
  const halo = 'paint-order="stroke" stroke="#ffffff" stroke-width="5"';
  return text(
    toX(point.x) + (anchor === "end" ? 0 : -4),
    y + (anchor === "end" ? 26 : 20),
    `${value} µs`,
    {
      anchor,
      size: 15,
      weight: 600,
      colour: COLOURS.restore,
      more: halo,
    },
  );
}

/** The next 1, 2 or 5 of a power of ten below `value`. */
function roundDown(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [5, 2, 1].find((factor) => factor * power <= value) * power;
}

/** 1, 2 and 5 of every power of ten in the bounds. */
function marks({ low, high }) {
  const values = [];
  for (let power = 10 ** Math.floor(Math.log10(low)); power <= high; power *= 10) {
    values.push(...[1, 2, 5].map((factor) => Number((factor * power).toPrecision(1))));
  }
  return values.filter((value) => value >= low * 0.999 && value <= high);
}

function text(x, y, content, { size = 13, weight, anchor, colour, more } = {}) {
  const attributes = [
    `x="${n(x)}" y="${n(y)}" font-size="${size}"`,
    weight && `font-weight="${weight}"`,
    anchor && `text-anchor="${anchor}"`,
    colour && `fill="${colour}"`,
    more,
  ];
  return `<text ${attributes.filter(Boolean).join(" ")}>${content}</text>`;
}

function log(value) {
  return Math.log(value);
}

/** A coordinate with as many digits as can be seen. */
function n(value) {
  return Number(value.toFixed(1));
}

function escaped(string) {
  return string.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
