import { run } from "ampoule";

const { stdout } = await run("/bin/busybox", { args: ["echo", "from a bundle"] });
process.stdout.write(stdout);
