/** How help is laid out: within the terminal, however narrow it is. */
import type { Command, HelpConfiguration } from "commander";
import { EXIT_CODES_HELP } from "./exit-codes.js";
import { columnsOf, wrap } from "./terminal.js";

/** Below that, what is said of a term stands in the line behind it. */
const SIDE_BY_SIDE_MIN = 64;
const LINES_MAX = 20;

/** The settings of commander's, which subcommands inherit. */
export const HELP: HelpConfiguration = {
  minWidthToWrap: 20,
  formatItem(term, termWidth, description, helper) {
    const width = helper.helpWidth ?? 80;
    const indent = "  ";
    if (description === "") return indent + term;
    if (width >= SIDE_BY_SIDE_MIN) {
      const start = indent + term.padEnd(termWidth + helper.displayWidth("  "));
      const [first = "", ...more] = wrap(description, width - start.length, LINES_MAX);
      return [start + first, ...more.map((line) => " ".repeat(start.length) + line)].join("\n");
    }
    const lines = wrap(description, width - 6, LINES_MAX).map((line) => `      ${line}`);
    return [indent + term, ...lines].join("\n");
  },
};

/** Adds the exit codes to the help of the program. */
export function addExitCodes(program: Command): void {
  program.addHelpText("after", () => {
    const width = columnsOf(process.stdout) - 9;
    const lines = EXIT_CODES_HELP.flatMap(([code, meaning]) =>
      wrap(meaning, width, LINES_MAX).map(
        (line, index) => `  ${(index === 0 ? code : "").padEnd(7)}${line}`,
      ),
    );
    return ["", "Exit codes:", ...lines].join("\n");
  });
}

/** Text for behind the help of a command. Lines that are not indented are wrapped. */
export function notes(text: string): () => string {
  return () => {
    const width = columnsOf(process.stdout);
    const laid = (line: string): string[] =>
      line.startsWith(" ") ? [line] : wrap(line, width, LINES_MAX);
    return text.split("\n").flatMap(laid).join("\n");
  };
}
