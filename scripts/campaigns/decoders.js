/**
 * Fuzzes every decoder of a guest's bytes with libFuzzer, ten minutes a target (or `<seconds>`).
 * Needs cargo-fuzz.
 */
import { run } from "../process.js";

const seconds = process.argv[2] ?? "600";
run("cargo", ["xtask", "fuzz", "--seconds", seconds]);
