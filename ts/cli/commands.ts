/** The commands, in the order in which the help lists them: each is a file in `commands/`, and a page's part in docs/cli.md. */
import type { Command } from "commander";
import { addCall } from "./commands/call.js";
import { addDoctor } from "./commands/doctor.js";
import { addInspect } from "./commands/inspect.js";
import { addNew } from "./commands/new.js";
import { addRun } from "./commands/run.js";
import { addSnapshot } from "./commands/snapshot.js";
import { addTrace } from "./commands/trace.js";
import { addTypes } from "./commands/types.js";

/** What adds a command to the program. */
export const COMMANDS: readonly ((program: Command) => void)[] = [
  addDoctor,
  addInspect,
  addTypes,
  addCall,
  addTrace,
  addRun,
  addSnapshot,
  addNew,
];
