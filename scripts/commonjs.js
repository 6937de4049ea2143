/**
 * Writes dist/index.cjs, for loaders that know only `require` and cannot load ES modules with it: Jest's,
 * for one. Node.js itself takes the ES module in any case, by the condition "module-sync", so that a
 * process has one copy.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { ROOT } from "./process.js";

const DIST = join(ROOT, "dist");

// What `tsc` made.
const { metafile } = await build({
  entryPoints: [join(DIST, "index.js")],
  outfile: join(DIST, "index.cjs"),
  bundle: true,
  format: "cjs",
  platform: "node",
  target: "node20.19",
  define: { "import.meta.url": "__filename" },
  // Classes are shown by their names.
  keepNames: true,
  metafile: true,
  logLevel: "warning",
});
const foreign = Object.keys(metafile.inputs).filter((path) => path.includes("node_modules/"));
// Code of others would bring its licence's terms along, and a second copy of its state.
if (foreign.length > 0) throw new Error(`in the CommonJS build: ${foreign.join(", ")}`);
for (const file of readdirSync(DIST, { recursive: true })) {
  if (file.endsWith(".d.ts") && !file.startsWith("cli")) declare(join(DIST, file));
}

/** The same declarations once more, as those of CommonJS modules. */
function declare(file) {
  const text = readFileSync(file, "utf8").replaceAll(
    /(["']\.{1,2}\/[^"']*)\.js(["'])/g,
    "$1.cjs$2",
  );
  writeFileSync(file.replace(/\.d\.ts$/, ".d.cts"), text);
}
