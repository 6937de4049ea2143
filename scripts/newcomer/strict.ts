/** Uses what is exported, with every check of TypeScript's on; compiled for each way of resolving. */
import {
  AmpouleError,
  type CallOptions,
  DEFAULTS,
  type GuestDeclaration,
  isAmpouleError,
  LimitError,
  Pool,
  type PoolOptions,
  run,
  Sandbox,
  Snapshot,
} from "ampoule";

interface Shapes extends GuestDeclaration {
  exports: {
    area: (shape: { readonly sides: readonly number[] }, unit: string | null) => number;
    name(bytes: Uint8Array): string | null;
  };
  imports: { scale(by: number): number };
}

export async function area(guest: URL, signal: AbortSignal): Promise<number> {
  const options: CallOptions = { signal, timeoutMs: DEFAULTS.timeoutMs };
  const hostFunctions = { scale: (by: number) => Promise.resolve(2 * by) };
  const sandbox = await Sandbox.create<Shapes>({ guest, hostFunctions });
  try {
    // @ts-expect-error: a number is no list of sides
    await sandbox.call.area({ sides: 1 }, null);
    const name: string | null = await sandbox.call.name(new Uint8Array(1));
    return name === null ? 0 : await sandbox.call.area({ sides: [1, 2] }, "cm", options);
  } finally {
    await sandbox.close();
  }
}

export async function pooled(id: number): Promise<number> {
  const options: PoolOptions<Shapes> = {
    snapshot: Snapshot.open<Shapes>(id),
    hostFunctions: { scale: (by) => by },
    size: { min: 1, max: 2 },
  };
  const pool = await Pool.create<Shapes>(options);
  const lease = await pool.acquire();
  const sum = await lease.sandbox.call.area({ sides: [] }, null);
  lease.release();
  await pool.close();
  return sum;
}

export async function output(program: string): Promise<string> {
  try {
    const { exitCode, stdout } = await run(program, { args: ["x"], stdin: "text" });
    return `${exitCode satisfies number | null} ${stdout.length}`;
  } catch (error) {
    if (error instanceof LimitError) return `${error.option}: ${error.limit}`;
    if (error instanceof AmpouleError) return error.code;
    return narrowed(error);
  }
}

function narrowed(error: unknown): string {
  if (!isAmpouleError(error)) throw error;
  switch (error.code) {
    case "ERR_AMPOULE_GUEST_FAULT":
      return error.fault.instruction.address satisfies string;
    case "ERR_AMPOULE_NO_BINDING":
      return error.details.remedy satisfies string;
    default:
      return error.message;
  }
}
