/** The life of a sandbox: every event in every state. */
import { describe, expect, test } from "@jest/globals";
import {
  IMPOSSIBLE,
  LIFE_EVENTS,
  LIVES,
  type Life,
  type LifeEvent,
  possible,
} from "../../ts/internal/driver/life.js";

/** Where each event leads from each state; `-`: it cannot come. */
const EXPECTED = `
                begin         beginRestore beginCall      kill           poison         break        restored settle         leave    close
made            starting      -            -              poisoned       poisoned       broken       -        -              -        closed
starting        -             -            -              startKilled    poisonedInRun  brokenInRun  -        started        -        closedInRun
startKilled     -             -            -              startKilled    poisonedInRun  brokenInRun  -        started        -        closedInRun
started         -             -            -              poisonedInRun  poisonedInRun  brokenInRun  -        -              ready    closedInRun
ready           running       restoring    calling        poisoned       poisoned       broken       ready    -              -        closed
running         -             -            -              runKilled      poisonedInRun  brokenInRun  -        runEnded       -        closedInRun
runKilled       -             -            -              runKilled      poisonedInRun  brokenInRun  -        runKilledEnded -        closedInRun
runEnded        -             -            -              poisonedInRun  poisonedInRun  brokenInRun  -        -              ready    closedInRun
runKilledEnded  -             -            -              poisonedInRun  poisonedInRun  brokenInRun  -        -              -        closedInRun
restoring       -             -            -              runKilled      poisonedInRun  brokenInRun  -        runEnded       -        closedInRun
calling         -             -            -              callKilled     poisonedInCall brokenInCall -        -              ready    closedInCall
callKilled      -             -            -              callKilled     poisonedInCall brokenInCall -        -              -        closedInCall
poisoned        poisonedInRun restoring    poisonedInCall poisoned       poisoned       broken       ready    -              -        closed
poisonedInRun   -             -            -              poisonedInRun  poisonedInRun  brokenInRun  -        poisonedInRun  poisoned closedInRun
poisonedInCall  -             -            -              poisonedInCall poisonedInCall brokenInCall -        -              poisoned closedInCall
broken          brokenInRun   restoring    brokenInCall   broken         poisoned       broken       ready    -              -        closed
brokenInRun     -             -            -              brokenInRun    poisonedInRun  brokenInRun  -        brokenInRun    broken   closedInRun
brokenInCall    -             -            -              brokenInCall   poisonedInCall brokenInCall -        -              broken   closedInCall
closed          closedInRun   -            closedInCall   closed         closed         closed       -        -              -        closed
closedInRun     -             -            -              closedInRun    closedInRun    closedInRun  -        closedInRun    closed   closedInRun
closedInCall    -             -            -              closedInCall   closedInCall   closedInCall -        -              closed   closedInCall
`;

/** What users see of each state, and what is going on in it. */
const SEEN: Readonly<Record<string, string>> = {
  made: "starting, nothing",
  starting: "starting, run",
  startKilled: "starting, run",
  started: "starting, run",
  ready: "ready, nothing",
  running: "running, run",
  runKilled: "running, run, doomed",
  runEnded: "running, run",
  runKilledEnded: "running, run, doomed",
  restoring: "running, run",
  calling: "running, call",
  callKilled: "running, call, doomed",
  poisoned: "poisoned, nothing, unusable",
  poisonedInRun: "poisoned, run, unusable",
  poisonedInCall: "poisoned, call, unusable",
  broken: "broken, nothing, unusable",
  brokenInRun: "broken, run, unusable",
  brokenInCall: "broken, call, unusable",
  closed: "closed, nothing, unusable",
  closedInRun: "closed, run, unusable",
  closedInCall: "closed, call, unusable",
};

const [head = "", ...rows] = EXPECTED.trim()
  .split("\n")
  .map((line) => line.trim());
const events = head.split(/\s+/) as LifeEvent[];
const cells = rows.flatMap((row) => {
  const [from = "", ...tos] = row.split(/\s+/);
  return tos.map((to, index) => ({ from, event: events[index] as LifeEvent, to }));
});
const lives = Object.values(LIVES);

function life(name: string): Life {
  const found = lives.find((each) => each.name === name);
  if (found === undefined) throw new Error(`there is no state ${name}`);
  return found;
}

/** Where a history leads. */
function after(...history: LifeEvent[]): Life {
  return history.reduce((from, event) => possible(from.next[event], from), LIVES.made as Life);
}

describe("the table", () => {
  test("has the states and events that are expected, and no others", () => {
    expect(events).toEqual([...LIFE_EVENTS]);
    expect(rows.map((row) => row.split(/\s+/)[0])).toEqual(lives.map(({ name }) => name));
    expect(cells).toHaveLength(21 * 10);
  });

  test.each(cells.filter(({ to }) => to !== "-"))("$from, $event: $to", ({ from, event, to }) => {
    const next = possible(life(from).next[event], life(from));
    expect(next.name).toBe(to);
  });

  test.each(cells.filter(({ to }) => to === "-"))("$from, $event cannot be", ({ from, event }) => {
    const next = life(from).next[event];
    expect(next).toBe(IMPOSSIBLE);
    const message = `that cannot happen to a sandbox that is ${from}`;
    expect(() => possible(next, life(from))).toThrow(message);
  });

  test.each(lives)("$name looks as it should", (each) => {
    const going = [each.isFree && "nothing", each.isRun && "run", each.isCall && "call"];
    const marks = [each.isDoomed && "doomed", !each.isUsable && "unusable"];
    const seen = [each.shown, ...going, ...marks].filter((part) => part !== false);
    expect(seen.join(", ")).toBe(SEEN[each.name]);
  });
});

describe("what holds everywhere", () => {
  test("every state is reached", () => {
    const reached = new Set<Life>([LIVES.made]);
    for (const each of reached) {
      for (const event of LIFE_EVENTS) {
        if (each.next[event] !== IMPOSSIBLE) reached.add(each.next[event]);
      }
    }
    expect(new Set(reached)).toEqual(new Set(lives));
  });

  test("closed is final for users", () => {
    const closed = lives.filter(({ shown }) => shown === "closed");
    const behind = closed.flatMap(({ next }) => LIFE_EVENTS.map((event) => next[event]));
    for (const each of behind) expect(each.shown).toBe("closed");
  });

  test("poison, a failed restore, a kill and a close can come in every state", () => {
    for (const { next } of lives) {
      for (const event of ["poison", "break", "kill", "close"] as const) {
        expect(next[event]).not.toBe(IMPOSSIBLE);
      }
    }
  });

  test("something begins only where nothing is going on, and only that leaves", () => {
    for (const each of lives) {
      const begins = [each.next.begin, each.next.beginRestore, each.next.beginCall];
      if (!each.isFree) expect(begins).toEqual([IMPOSSIBLE, IMPOSSIBLE, IMPOSSIBLE]);
      for (const to of begins) if (to !== IMPOSSIBLE) expect(to.isFree).toBe(false);
      if (each.next.leave !== IMPOSSIBLE) {
        expect(each.isFree).toBe(false);
        expect(each.next.leave.isFree).toBe(true);
      }
    }
  });

  test("what is going on stays what it is until it leaves", () => {
    for (const each of lives.filter(({ isFree }) => !isFree)) {
      for (const event of LIFE_EVENTS) {
        const to = each.next[event];
        if (to === IMPOSSIBLE || event === "leave") continue;
        expect({ isRun: to.isRun, isCall: to.isCall }).toEqual({
          isRun: each.isRun,
          isCall: each.isCall,
        });
      }
    }
  });

  test("a kill that is due is not forgotten: such a state is left poisoned, broken or closed", () => {
    for (const each of lives.filter(({ isDoomed }) => isDoomed)) {
      expect(each.next.leave).toBe(IMPOSSIBLE);
      for (const event of LIFE_EVENTS) {
        const to = each.next[event];
        if (to !== IMPOSSIBLE) expect(to.isDoomed || !to.isUsable).toBe(true);
      }
    }
  });

  test("only a restore makes what is poisoned or broken usable", () => {
    for (const each of lives.filter(({ isUsable }) => !isUsable)) {
      const ways = LIFE_EVENTS.filter((event) => each.next[event].isUsable);
      const isWreck = each.isFree && each.shown !== "closed";
      expect(ways).toEqual(isWreck ? ["beginRestore", "restored"] : []);
    }
  });
});

describe("histories", () => {
  test.each<[string, LifeEvent[], string]>([
    ["started", ["begin", "settle", "leave"], "ready"],
    ["a start that failed", ["begin", "poison", "settle", "leave"], "poisoned"],
    ["killed while it starts", ["begin", "kill", "poison", "settle", "leave"], "poisoned"],
    [
      "killed while the last output of the start is awaited",
      ["begin", "kill", "settle", "leave"],
      "ready",
    ],
    [
      "killed while what the start told is handed over",
      ["begin", "settle", "kill", "leave"],
      "poisoned",
    ],
    ["closed while it starts", ["begin", "close", "settle", "leave"], "closed"],
    ["a kill before anything", ["kill"], "poisoned"],
  ])("%s", (_name, history, state) => {
    expect(after(...history).name).toBe(state);
  });

  test.each<[string, LifeEvent[], string]>([
    ["a run", ["begin", "settle", "leave"], "ready"],
    ["a run that is killed", ["begin", "kill", "poison", "settle", "leave"], "poisoned"],
    [
      "a run that is killed when the guest is done",
      ["begin", "kill", "settle", "poison", "leave"],
      "poisoned",
    ],
    ["a run that is killed when it has ended", ["begin", "settle", "kill", "leave"], "poisoned"],
    ["a run whose restore failed", ["begin", "break", "settle", "leave"], "broken"],
    [
      "a run in what was poisoned while its arguments were read",
      ["poison", "begin", "poison", "settle", "leave"],
      "poisoned",
    ],
    [
      "a run in what was closed while its arguments were read",
      ["close", "begin", "poison", "settle", "leave"],
      "closed",
    ],
    ["a run that is closed", ["begin", "close", "settle", "leave"], "closed"],
    ["a call", ["beginCall", "leave"], "ready"],
    ["a call that faults", ["beginCall", "poison", "leave"], "poisoned"],
    ["a call that is killed", ["beginCall", "kill", "poison", "leave"], "poisoned"],
    ["a call that is killed twice", ["beginCall", "kill", "kill", "poison", "leave"], "poisoned"],
    ["a call in which the sandbox is closed", ["beginCall", "close", "leave"], "closed"],
    [
      "a call in which it is closed after a kill",
      ["beginCall", "kill", "close", "poison", "leave"],
      "closed",
    ],
    ["a call whose restore failed", ["beginCall", "break", "leave"], "broken"],
    ["a restore", ["poison", "beginRestore", "settle", "leave"], "ready"],
    [
      "a restore that is killed",
      ["poison", "beginRestore", "kill", "poison", "settle", "leave"],
      "poisoned",
    ],
    [
      "a restore that fails, and another",
      ["beginRestore", "break", "settle", "leave", "beginRestore", "settle", "leave"],
      "ready",
    ],
    ["a restore at once", ["poison", "restored"], "ready"],
    ["a restore at once that fails", ["poison", "break"], "broken"],
    ["closed twice", ["close", "close"], "closed"],
    ["killed after it was closed", ["close", "kill"], "closed"],
  ])("%s", (_name, history, state) => {
    expect(after("begin", "settle", "leave", ...history).name).toBe(state);
  });
});
