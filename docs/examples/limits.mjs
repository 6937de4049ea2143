import { AmpouleError, LimitError, run } from "ampoule";

try {
  await run("/bin/busybox", {
    args: ["sh", "-c", "while :; do :; done"],
    limits: { cpuTimeMs: 200 },
  });
} catch (error) {
  console.log(error instanceof AmpouleError, error.code);
  console.log(error instanceof LimitError, error.option, error.limit);
}
// Prints:
// true ERR_AMPOULE_CPU_TIME
// true cpuTimeMs 200
