import { build } from "esbuild";

await build({
  entryPoints: ["server.mjs"],
  outfile: "dist/server.mjs",
  bundle: true,
  platform: "node",
  format: "esm",
  // Ampoule stays in node_modules, beside its native addon.
  external: ["ampoule"],
});
