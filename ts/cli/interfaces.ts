/** Starting a guest to learn its interface. */
import { AmpouleError } from "../errors.js";
import type { GuestInterface } from "../interface.js";
import { Sandbox } from "../sandbox.js";

/** Starts the guest far enough to learn its interface; `null` for a plain program. */
export async function describe(path: string): Promise<GuestInterface | null> {
  try {
    await using sandbox = await Sandbox.create({
      guest: path,
      hostFunctions: ABSENT_FUNCTIONS,
      stdout: "ignore",
      stderr: "ignore",
    });
    return sandbox.interface;
  } catch (error) {
    if (error instanceof AmpouleError && error.code === "ERR_AMPOULE_GUEST_EXITED") return null;
    throw error;
  }
}

const STUB = { value: unavailable, configurable: true, enumerable: true, writable: true };

/** Host functions of every name, none of which can be called. */
export const ABSENT_FUNCTIONS: Record<string, never> = new Proxy(
  {},
  { getOwnPropertyDescriptor: () => STUB, get: () => unavailable },
);

function unavailable(): never {
  throw new Error("host functions are not available while a guest is inspected");
}
