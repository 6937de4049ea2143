/** What guests print where no option says another place: on this process's stderr, for people. */
import { Console } from "node:console";
import { TextDecoder } from "node:util";
import { harmless, onOneLine } from "../text.js";
import type { Sink } from "./outputs.js";

let stderr: Console | undefined;

/** What a guest that never gets ready may have printed; the rest is left out. */
const HELD_MAX = 64 * 1024;

/**
 * Prints both streams of one guest, each line with the guest's name in front of it: so that none of
 * them is taken for one of the host's, and none does anything to a terminal. Nothing is printed before
 * the guest is ready, because a program that is no guest prints its usage and ends.
 */
export class Printer {
  readonly #sandbox: string;
  /** Before each line; made for the first, since most sandboxes print nothing. */
  #prefix: string | undefined;
  /** Lines that are held back. */
  #held: string[] | undefined = [];
  #heldLength = 0;

  constructor(name: string) {
    this.#sandbox = name;
  }

  /** A sink for one of the streams. */
  sink(): Sink {
    let decoder: TextDecoder | undefined;
    return (chunk) => {
      decoder ??= new TextDecoder();
      // A line that goes on in another chunk is shown as two: whoever prints in between ends it.
      const text = decoder.decode(chunk, { stream: true }).replace(/\r?\n$/, "");
      this.#print(text.split(/\r?\n/).map(harmless));
    };
  }

  #print(lines: readonly string[]): void {
    if (this.#held === undefined) {
      stderr ??= new Console(process.stderr);
      this.#prefix ??= `${onOneLine(this.#sandbox)}: `;
      const prefix = this.#prefix;
      stderr.log(lines.map((line) => (prefix + line).trimEnd()).join("\n"));
      return;
    }
    for (const line of lines) {
      this.#heldLength += line.length + 1;
      if (this.#heldLength > HELD_MAX) return;
      this.#held.push(line);
    }
  }

  /** Prints what was held back, and from now on at once. */
  release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    if (held.length > 0) this.#print(held);
  }

  /** What was held back, instead of printing it. */
  get held(): string {
    return (this.#held ?? []).join("\n");
  }
}
