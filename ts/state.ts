/**
 * Where a sandbox is in its life. `starting` is never seen from outside: `Sandbox.create` resolves
 * when the guest is ready.
 */
export type SandboxState = "starting" | "ready" | "running" | "poisoned" | "closed";
