/** `ampoule new`: a project with a Rust guest and a TypeScript host. */
import { existsSync } from "node:fs";
import { cp, mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { basename, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { invalid } from "../../internal/options/checks.js";
import { printJson, printText } from "../output.js";

/** Relative to `dist/cli/commands/`, and to `ts/cli/commands/` in the repository. */
const TEMPLATE = new URL("../../../templates/rust/", import.meta.url);
const PACKAGE = new URL("../../../package.json", import.meta.url);
/** There in the repository and not in the package. */
const CHECKOUT = new URL("../../../package-lock.json", import.meta.url);

export function addNew(program: Command): void {
  program
    .command("new")
    .description("write a project with a Rust guest, a TypeScript host and a test")
    .argument("<dir>", "directory to make; must not exist or be empty")
    .option(
      "--ampoule <spec>",
      "npm specification of ampoule (default: this release, or this checkout of the repository)",
    )
    .option("--json", "say what was made as JSON")
    .action(create);
}

async function create(dir: string, flags: { ampoule?: string; json?: boolean }): Promise<void> {
  const target = resolve(dir);
  await mkdir(target, { recursive: true });
  if ((await readdir(target)).length > 0) throw invalid("<dir>", `is not empty: ${dir}`);
  await cp(fileURLToPath(TEMPLATE), target, { recursive: true });
  // npm would leave a file of that name out of the package.
  await rename(join(target, "gitignore"), join(target, ".gitignore"));
  await rename(join(target, "guest/cargo"), join(target, "guest/.cargo"));
  await fill(target, {
    "{{name}}": packageName(basename(target)),
    "{{ampoule}}": flags.ampoule ?? (await specification()),
  });
  const where = relative(process.cwd(), target) || ".";
  const next = [`cd ${quoted(where)}`, "npm install", "npm test"];
  if (flags.json) printJson({ directory: target, next });
  else printText(`Made ${where}. Next:\n\n${next.map((line) => `  ${line}`).join("\n")}`);
}

/** Where a project gets this `ampoule` from. */
async function specification(): Promise<string> {
  if (existsSync(CHECKOUT)) return `file:${fileURLToPath(new URL("../../../", import.meta.url))}`;
  const { version } = JSON.parse(await readFile(PACKAGE, "utf8")) as { version: string };
  return `^${version}`;
}

async function fill(directory: string, values: Readonly<Record<string, string>>): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    let text = await readFile(path, "utf8");
    for (const [mark, value] of Object.entries(values)) text = text.replaceAll(mark, value);
    await writeFile(path, text);
  }
}

/** `word` as a shell takes it. */
function quoted(word: string): string {
  const plain = word.startsWith("-") ? `./${word}` : word;
  return /^[\w./@%+=:,-]+$/.test(plain) ? plain : `'${plain.replaceAll("'", "'\\''")}'`;
}

function packageName(text: string): string {
  const name = text.toLowerCase().replaceAll(/[^a-z0-9-]+/g, "-");
  return name.replaceAll(/^-+|-+$/g, "") || "ampoule-project";
}
