import { Sandbox } from "ampoule";
import type { Guest } from "./guest.js";

const guest = new URL("../guest/target/x86_64-unknown-linux-gnu/release/guest", import.meta.url);

/** Starts the guest in a micro-VM of its own. */
export function createGreeter(): Promise<Sandbox<Guest>> {
  return Sandbox.create<Guest>({
    guest,
    hostFunctions: { greeting: () => (new Date().getHours() < 12 ? "Good morning" : "Hello") },
  });
}
