/**
 * Where a sandbox is in its life. `starting` is never seen from outside: `Sandbox.create` resolves
 * when the guest is ready. `restore()` leads from `poisoned` and `broken` back to `ready`; `broken` is
 * a sandbox whose restore failed.
 */
export type SandboxState = "starting" | "ready" | "running" | "poisoned" | "broken" | "closed";
