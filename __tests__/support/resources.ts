/** What this process holds, by the kernel's own count. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { promisify } from "node:util";

const turn = promisify(setImmediate);

/** File descriptors, by what they refer to: `anon_inode:kvm-vm`, `/memfd:...`, `socket`, ... */
export function fileDescriptors(): Map<string, number> {
  const kinds = new Map<string, number>();
  for (const name of readdirSync("/proc/self/fd")) {
    let target: string;
    try {
      target = readlinkSync(`/proc/self/fd/${name}`);
    } catch {
      // The one that lists the directory is gone by now.
      continue;
    }
    const kind = target.replace(/:\[\d+\]$/, "");
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  return kinds;
}

/**
 * Waits until no virtual machine is left: sandboxes that were closed leave theirs to the next one, for
 * a moment. To be called when no sandbox is open.
 */
export async function virtualMachinesFreed(): Promise<void> {
  // A thread that the kernel gives each of them ends after its descriptor is closed.
  const isKernels = (name: string): boolean => name.startsWith("kvm-");
  while (fileDescriptors().has("anon_inode:kvm-vm") || [...threads().keys()].some(isKernels)) {
    await turn();
  }
}

/** Threads, by name. */
export function threads(): Map<string, number> {
  const names = new Map<string, number>();
  for (const id of readdirSync("/proc/self/task")) {
    let name: string;
    try {
      name = readFileSync(`/proc/self/task/${id}/comm`, "utf8").trim();
    } catch {
      // It has just ended.
      continue;
    }
    names.set(name, (names.get(name) ?? 0) + 1);
  }
  return names;
}

/** Number of memory mappings; each virtual machine has dozens. */
export function mappings(): number {
  return readFileSync("/proc/self/maps", "utf8").split("\n").length;
}

/** Bytes of memory that the process has in RAM, after a garbage collection. */
export async function residentBytes(): Promise<number> {
  if (globalThis.gc === undefined) throw new Error("run by `npm run jest`, which exposes gc");
  // Finalizers run in turns of their own, and free more.
  for (let round = 0; round < 3; round++) {
    globalThis.gc();
    await turn();
  }
  return process.memoryUsage().rss;
}
