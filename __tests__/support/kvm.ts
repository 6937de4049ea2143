/** Tests that need a hypervisor: skipped loudly without one, failed when AMPOULE_REQUIRE_KVM=1. */
import { accessSync, constants } from "node:fs";
import { describe } from "@jest/globals";

function usable(): boolean {
  try {
    accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

const required = process.env["AMPOULE_REQUIRE_KVM"] === "1";

/** `describe` for tests that make sandboxes. */
export const describeWithKvm: typeof describe.skip = usable() || required ? describe : skipLoudly();

function skipLoudly(): typeof describe.skip {
  process.stderr.write(
    "SKIPPED: /dev/kvm cannot be opened, so tests that make sandboxes are skipped\n",
  );
  return describe.skip;
}
