/** Checks of what a guest finds at its start: its name, arguments and environment. */
import { describeType, invalid, isUrl, readEntries, readItems } from "./checks.js";

/** The name of a guest that was given none. */
export function nameOfGuest(guest: unknown): string {
  const path = typeof guest === "string" ? guest : isUrl(guest) ? guest.pathname : "guest";
  return path.slice(path.lastIndexOf("/") + 1) || "guest";
}

/** Checks the option `name`. */
export function checkName(name: unknown): string | undefined {
  if (name === undefined) return undefined;
  if (typeof name !== "string" || name === "") {
    throw invalid("name", `must be a non-empty string, got ${describeType(name)}`);
  }
  return checkNoNul(name, "name");
}

/** Refuses what no C string can hold. */
export function checkNoNul(text: string, option: string): string {
  if (text.includes("\0")) throw invalid(option, "must not contain a NUL character");
  return text;
}

/** Checks the option `args`. */
export function checkArguments(args: unknown): string[] {
  return readItems(args, "args").map((argument, index) => {
    if (typeof argument === "string") return checkNoNul(argument, `args[${index}]`);
    throw invalid(`args[${index}]`, `must be a string, got ${describeType(argument)}`);
  });
}

/** Checks the option `env`, and makes it what `execve` takes. */
export function checkEnvironment(env: unknown): string[] {
  return readEntries(env, "env").map(([name, value]) => {
    const option = `env[${JSON.stringify(name)}]`;
    if (typeof value !== "string") {
      throw invalid(option, `must be a string, got ${describeType(value)}`);
    }
    if (name === "" || name.includes("=")) throw invalid(option, "is not a valid name");
    return checkNoNul(`${name}=${value}`, option);
  });
}
