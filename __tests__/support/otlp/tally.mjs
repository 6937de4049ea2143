/**
 * Counts the spans of many traces of one form, as they come, in memory that is known before: a few
 * numbers for each span, and what is wrong with the first of them.
 *
 * The number of a trace is in the last eight bytes of its id, the same number is the id of the span
 * outside the process in which all of them begin; see `TallyShape` in `collector.ts`.
 */
import { attributesOf } from "./plain.mjs";

/** The most problems that are described. */
const DESCRIBED_MAX = 20;

export class Tally {
  #shape;
  #roles;
  #spans = 0;
  #problems = 0;
  #described = [];

  constructor(shape) {
    const column = () => new BigUint64Array(shape.traces);
    this.#shape = shape;
    this.#roles = new Map(
      shape.spans.map((span) => [
        span.name,
        { ...span, id: column(), parentId: column(), start: column(), end: column() },
      ]),
    );
  }

  /** Counts the spans of an `ExportTraceServiceRequest`. */
  add({ resourceSpans = [] }) {
    for (const { resource, scopeSpans = [] } of resourceSpans) {
      const found = attributesOf(resource?.attributes);
      for (const [key, value] of Object.entries(this.#shape.resource)) {
        if (found[key] !== value) this.#problem(`a resource whose ${key} is ${found[key]}`);
      }
      for (const { scope = {}, spans = [] } of scopeSpans) {
        for (const span of spans) this.#addSpan(span, scope);
      }
    }
  }

  #addSpan(span, scope) {
    this.#spans++;
    const role = this.#roles.get(span.name);
    const number = Number(span.traceId.readBigUInt64BE(8)) - 1;
    const prefix = span.traceId.toString("hex", 0, 8);
    if (role === undefined || prefix !== this.#shape.prefix || !(number < this.#shape.traces)) {
      this.#problem(`a stranger, ${span.name} of ${span.traceId.toString("hex")}`);
      return;
    }
    const of = (what) => `${what}: ${span.name} of trace ${number + 1}`;
    if (role.id[number] !== 0n) this.#problem(of("twice"));
    role.id[number] = span.spanId.readBigUInt64BE();
    role.parentId[number] = span.parentSpanId?.length ? span.parentSpanId.readBigUInt64BE() : 0n;
    role.start[number] = BigInt(span.startTimeUnixNano.toString());
    role.end[number] = BigInt(span.endTimeUnixNano.toString());
    const { name, version } = role.scope;
    if (scope.name !== name || scope.version !== version) {
      this.#problem(of(`scope ${scope.name} ${scope.version}`));
    }
    const attributes = attributesOf(span.attributes);
    for (const [key, expected] of Object.entries(role.attributes)) {
      const value = expected === "number" ? BigInt(number + 1) : expected;
      if (attributes[key] !== value) this.#problem(of(`${key} is ${attributes[key]}`));
    }
  }

  /** How many have come. */
  get spans() {
    return this.#spans;
  }

  /** What was counted; to be asked once, when all spans have come. */
  result() {
    let lost = 0;
    for (const role of this.#roles.values()) {
      const outer = this.#roles.get(role.parent);
      for (let number = 0; number < this.#shape.traces; number++) {
        const wrong = role.id[number] === 0n ? "lost" : misplaced(role, outer, number);
        if (wrong === undefined) continue;
        if (wrong === "lost") lost++;
        this.#problem(`${wrong}: ${role.name} of trace ${number + 1}`);
      }
    }
    return {
      spans: this.#spans,
      distinct: this.#distinct(),
      lost,
      problems: this.#problems,
      described: this.#described,
    };
  }

  /** Number of different span ids. */
  #distinct() {
    const columns = [...this.#roles.values()].map(({ id }) => id);
    const all = new BigUint64Array(columns.length * this.#shape.traces);
    for (const [index, column] of columns.entries()) all.set(column, index * this.#shape.traces);
    all.sort();
    return all.reduce((count, id, at) => (id !== 0n && id !== all[at - 1] ? count + 1 : count), 0);
  }

  #problem(text) {
    this.#problems++;
    if (this.#described.length < DESCRIBED_MAX) this.#described.push(text);
  }
}

/** What is wrong with the place of a span below `outer`, or below that outside. */
function misplaced({ parent, parentId, start, end, isLoose }, outer, number) {
  const right = outer === undefined ? BigInt(number + 1) : outer.id[number];
  if (parentId[number] !== right) return `parent ${parentId[number]}`;
  if (end[number] < start[number]) return "ends before it starts";
  if (outer === undefined || isLoose === true) return undefined;
  const isInside = start[number] >= outer.start[number] && end[number] <= outer.end[number];
  return isInside ? undefined : `not inside ${parent}`;
}
