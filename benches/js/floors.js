/** The floors, from the addon in `benches/node`. */
import { fileURLToPath } from "node:url";

const built = new URL("../../target/release/libampoule_floors_node.so", import.meta.url);
const module = { exports: {} };
process.dlopen(module, process.env.AMPOULE_FLOORS ?? fileURLToPath(built));

/** `empty`, `exitTurn`, `createTurn`, `copyTurn`: see `benches/node/src/lib.rs`. */
export const floors = module.exports;

let arrived = () => {};
floors.onHop(() => arrived());

/** A promise that another thread resolves. */
export function hop() {
  return new Promise((resolve) => {
    arrived = resolve;
    floors.hop();
  });
}
