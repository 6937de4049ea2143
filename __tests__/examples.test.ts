/** Runs the examples of the documentation and compares what they print with what they say they print. */
import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "@jest/globals";

const directory = fileURLToPath(new URL("../docs/examples/", import.meta.url));
const examples = readdirSync(directory).filter((name) => name.endsWith(".mjs"));

/** The comment at the end of an example. */
function promised(source: string): string {
  const [, comment] = source.split("\n// Prints:\n");
  if (comment === undefined) throw new Error("the example does not end with `// Prints:`");
  return comment.replaceAll(/^\/\/ ?/gm, "").trim();
}

/** What the example needs and this machine lacks, or `null`. */
function missing(source: string): string | null {
  try {
    accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
  } catch {
    return "/dev/kvm";
  }
  if (source.includes('"/bin/busybox"') && !existsSync("/bin/busybox")) return "/bin/busybox";
  return null;
}

test.each(examples)("%s prints what it promises", (name) => {
  const source = readFileSync(join(directory, name), "utf8");
  const lacking = missing(source);
  if (lacking !== null) {
    if (process.env["AMPOULE_REQUIRE_KVM"] === "1") throw new Error(`${lacking} is missing`);
    console.warn(`SKIPPED ${name}: ${lacking} is missing`);
    return;
  }
  const { stdout, stderr, status } = spawnSync(process.execPath, [join(directory, name)], {
    encoding: "utf8",
  });
  const printed = stdout.replaceAll(/[ \t]+$/gm, "").trim();
  expect({ printed, stderr, status }).toEqual({ printed: promised(source), stderr: "", status: 0 });
});
