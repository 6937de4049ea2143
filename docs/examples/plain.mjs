import { run } from "ampoule";

const { exitCode, text } = await run("/bin/busybox", {
  args: ["sha256sum"],
  stdin: "hello\n",
});
console.log(exitCode, text);
// Prints:
// 0 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03  -
