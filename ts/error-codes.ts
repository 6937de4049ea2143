/** What stands in `docs/errors.md` about one code. */
export interface ErrorEntry {
  /** What happened, as a clause. */
  readonly summary: string;
  /** Why it happens. */
  readonly cause: string;
  /** What to do about it. */
  readonly remedy: string;
  /** Whether the sandbox is still usable afterwards. */
  readonly sandbox: "none" | "ready" | "poisoned" | "broken" | "closed" | "unchanged";
}

/**
 * Every code an {@link AmpouleError} can carry. Codes are stable: one is never renamed or given
 * another meaning. `docs/errors.md` is written from this table by `npm run docs:errors`.
 */
export const ERROR_CODES = {
  ERR_AMPOULE_NO_HYPERVISOR: {
    summary: "this machine offers no usable hypervisor",
    cause:
      "`/dev/kvm` is missing, may not be opened by this user, or lacks a capability that is needed. Ampoule never falls back to weaker isolation.",
    remedy: "Run `npx ampoule doctor`: it names what is missing and how to fix it.",
    sandbox: "none",
  },
  ERR_AMPOULE_NO_BINDING: {
    summary: "the native part of Ampoule cannot be loaded",
    cause:
      "Ampoule was put into a bundle, runs on another platform than Linux on x86-64 with glibc, was installed without its optional dependencies, or is loaded twice in one thread, as an ES module and as CommonJS; `details.reason` is `bundled`, `platform`, `installation` or `loaded-twice`.",
    remedy:
      "`details.remedy` says it: mark the package `ampoule` as external in the bundler, or install it again with `npm install --include=optional`.",
    sandbox: "none",
  },
  ERR_AMPOULE_HYPERVISOR: {
    summary: "the hypervisor refused or failed an operation",
    cause:
      "The kernel answered an unexpected error, for example because the process has no file descriptors or memory left for another virtual machine.",
    remedy:
      "Read the operation and the errno in the message. Close sandboxes that are no longer used, raise `ulimit -n`; report it if neither explains it.",
    sandbox: "poisoned",
  },
  ERR_AMPOULE_INVALID_ARGUMENT: {
    summary: "an option given to Ampoule is not valid",
    cause: "An option has the wrong type, is out of range, or is not known.",
    remedy: "The message names the option, what it accepts and what was given.",
    sandbox: "unchanged",
  },
  ERR_AMPOULE_INVALID_GUEST: {
    summary: "the guest is not an executable that can be loaded",
    cause:
      "The file is not an x86-64 ELF executable, is linked dynamically, is truncated, or asks for memory that is both writable and executable.",
    remedy:
      "Link statically: `-C target-feature=+crt-static` for Rust, `gcc -static` for C. `npx ampoule inspect` shows what is in the file.",
    sandbox: "none",
  },
  ERR_AMPOULE_INCOMPATIBLE_GUEST: {
    summary: "the guest speaks a version of the guest ABI that this release does not",
    cause: "The guest was built with a newer SDK, or describes an interface that cannot be read.",
    remedy: "Update the `ampoule` package, or rebuild the guest with a matching SDK.",
    sandbox: "none",
  },
  ERR_AMPOULE_MISSING_HOST_FUNCTION: {
    summary: "the guest needs host functions that were not given",
    cause: "The guest imports functions that are absent from the option `hostFunctions`.",
    remedy: "Add the functions that the message lists; `npx ampoule inspect` shows their types.",
    sandbox: "none",
  },
  ERR_AMPOULE_UNKNOWN_FUNCTION: {
    summary: "the guest exports no function of that name",
    cause:
      "A function was called on `sandbox.call` or `sandbox.callSync`, or by `invoke`, that the guest does not export.",
    remedy:
      "The message lists the functions there are. Declarations from `npx ampoule types` turn this into a compile-time error.",
    sandbox: "ready",
  },
  ERR_AMPOULE_ARGUMENT: {
    summary: "an argument does not have the type that the guest declares",
    cause: "A call was made with a missing, superfluous or wrongly typed argument.",
    remedy:
      "The message names the function, the parameter and what it must be. The guest was not entered.",
    sandbox: "ready",
  },
  ERR_AMPOULE_GUEST_ERROR: {
    summary: "the guest's function returned an error",
    cause:
      "The function itself reported failure; `kind`, `message` and `data` are the guest's own.",
    remedy: "Handle it like an error of any function. The sandbox is not affected.",
    sandbox: "ready",
  },
  ERR_AMPOULE_HOST_FUNCTION: {
    summary: "a host function threw, and the guest did not handle it",
    cause:
      "One of your `hostFunctions` threw or rejected, and the guest passed the failure on; or an output function or the `stdin` source did, or a stream for output failed, was ended or destroyed, and the guest was stopped.",
    remedy:
      "Read `error.cause`: it is what your function threw. A sandbox whose output or input failed is poisoned: restore it, or create a new one.",
    sandbox: "ready",
  },
  ERR_AMPOULE_ASYNC_HOST_FUNCTION: {
    summary: "a host function returned a promise during `callSync`",
    cause:
      "`callSync` keeps the JavaScript thread, so nothing asynchronous can finish while it runs.",
    remedy: "Use `sandbox.call`, or make the host function (or the `stdin` source) synchronous.",
    sandbox: "ready",
  },
  ERR_AMPOULE_GUEST_ABORT: {
    summary: "the guest gave up (a Rust panic)",
    cause: "The guest reported that it cannot go on, with a message and the place in its source.",
    remedy:
      "Fix the guest; `error.location` and `error.backtrace` tell where. Restore the sandbox, or create a new one.",
    sandbox: "poisoned",
  },
  ERR_AMPOULE_GUEST_FAULT: {
    summary: "the guest was stopped by a processor exception",
    cause:
      "The guest did something the processor forbids: a null or wild pointer, a stack overflow, an illegal or privileged instruction, a write to code.",
    remedy:
      "`error.fault` tells what was done, at which address and by which instruction of which function. Restore the sandbox, or create a new one.",
    sandbox: "poisoned",
  },
  ERR_AMPOULE_GUEST_EXITED: {
    summary: "the guest's program ended",
    cause:
      "The program called `exit` or returned from `main` instead of serving calls, or a signal ended it (`abort()`).",
    remedy:
      "A plain program without the guest SDK is run by `run()`. Otherwise create a new sandbox.",
    sandbox: "poisoned",
  },
  ERR_AMPOULE_GUEST_SIGNAL: {
    summary: "the guest was sent a signal for which it has a handler",
    cause:
      "Signal handlers are not delivered, and a program that went on as if its handler had run would be wrong in silence. It sent the signal itself (`raise`, `kill`, `abort`, a write to a pipe that nobody reads), or its timer did (`alarm`); `details.signal` names it.",
    remedy:
      "Let the guest ignore or block the signal, take it with `sigwait`, or do without it: default actions, ignored and blocked signals work as in Linux. Restore the sandbox, or create a new one.",
    sandbox: "poisoned",
  },
  ERR_AMPOULE_PROTOCOL: {
    summary: "the guest broke the rules of the channel",
    cause:
      "A message had a wrong sequence number, kind, length or encoding: the guest is hostile or corrupted.",
    remedy: "Do not trust this guest's results. Restore the sandbox, or create a new one.",
    sandbox: "poisoned",
  },
  ERR_AMPOULE_RESULT: {
    summary: "the guest's result does not have the type it declares",
    cause: "The function returned a well-formed value of another type than its interface promises.",
    remedy: "Rebuild the guest with a matching SDK, or treat it as hostile.",
    sandbox: "ready",
  },
  ERR_AMPOULE_TIMEOUT: {
    summary: "the call took longer than `timeoutMs`",
    cause: "Wall-clock time ran out, time in host functions included.",
    remedy:
      "Raise `timeoutMs` (per call, or in `limits`), or make the guest faster. Restore the sandbox, or create a new one.",
    sandbox: "poisoned",
  },
  ERR_AMPOULE_CPU_TIME: {
    summary: "the call used more processor time than `cpuTimeMs`",
    cause: "The guest computed for too long. Time spent in host functions does not count.",
    remedy:
      "Raise `cpuTimeMs` (per call, or in `limits`). Restore the sandbox, or create a new one.",
    sandbox: "poisoned",
  },
  ERR_AMPOULE_MEMORY_LIMIT: {
    summary: "the guest needs more memory than it was given",
    cause:
      "The program's segments, stack and channel do not fit into `memory`, or the guest ran out of it.",
    remedy: "Raise the option `memory`. Restore the sandbox, or create a new one.",
    sandbox: "poisoned",
  },
  ERR_AMPOULE_MESSAGE_TOO_LARGE: {
    summary: "a message is larger than the channel",
    cause:
      "Arguments, a result or a host function's result exceed `limits.message` in encoded form.",
    remedy: "Raise `limits.message`, or pass less at a time. Nothing was sent.",
    sandbox: "ready",
  },
  ERR_AMPOULE_ITEM_LIMIT: {
    summary: "a message is made of more items than allowed",
    cause:
      "A result, an error, or arguments have more than `limits.items` items: values in arrays, keys and values of objects. Reading them would keep the JavaScript thread.",
    remedy:
      "Raise `limits.items`, pass less at a time, or pass bytes. Arguments of yours were not sent and leave the sandbox ready; what the guest sent poisons it.",
    sandbox: "poisoned",
  },
  ERR_AMPOULE_OUTPUT_LIMIT: {
    summary: "the guest wrote more output than allowed",
    cause: "More than `limits.output` bytes were written to stdout and stderr during one call.",
    remedy: "Raise `limits.output`. Restore the sandbox, or create a new one.",
    sandbox: "poisoned",
  },
  ERR_AMPOULE_HOST_CALL_LIMIT: {
    summary: "the guest called host functions more often than allowed",
    cause: "More than `limits.hostCalls` host calls were made during one call.",
    remedy: "Raise `limits.hostCalls`. Restore the sandbox, or create a new one.",
    sandbox: "poisoned",
  },
  ERR_AMPOULE_ABORTED: {
    summary: "the call was cancelled by its `signal`",
    cause: "The `AbortSignal` given to the call or to `create` fired; `error.cause` is its reason.",
    remedy:
      "Nothing to fix. A call that had not begun leaves the sandbox ready; one that was running poisons it.",
    sandbox: "poisoned",
  },
  ERR_AMPOULE_KILLED: {
    summary: "the sandbox was killed",
    cause: "`sandbox.kill()` or `Sandbox.kill(id)` was called.",
    remedy: "Restore the sandbox, or create a new one.",
    sandbox: "poisoned",
  },
  ERR_AMPOULE_CLOSED: {
    summary: "the sandbox, snapshot or pool is closed, or the lease was released",
    cause:
      "`close()` was called before or during the call, or a sandbox of a pool was used after its lease had ended.",
    remedy:
      "Create a new one, or acquire another lease; await calls before closing what they run in.",
    sandbox: "closed",
  },
  ERR_AMPOULE_POISONED: {
    summary: "the sandbox cannot be used since an earlier failure",
    cause: "`error.cause` is that failure; the guest's memory is in an unknown state since.",
    remedy: "Restore the sandbox with `restore()`, or create a new one.",
    sandbox: "poisoned",
  },
  ERR_AMPOULE_BROKEN: {
    summary: "a restore of the sandbox failed",
    cause:
      "`error.cause` tells why: most often the process had no memory or file descriptors left. The sandbox may be half-way between two states and cannot be called.",
    remedy: "Call `restore()` again when there is room, or close the sandbox.",
    sandbox: "broken",
  },
  ERR_AMPOULE_SNAPSHOT_NOT_FOUND: {
    summary: "there is no such snapshot",
    cause:
      "No snapshot of this process has that id, or all handles of it are closed; or there is no store at the path, or no snapshot of that tag in it.",
    remedy:
      "Keep one handle open until the other thread has opened its own. `npx ampoule snapshot inspect <store>` lists what a store holds.",
    sandbox: "none",
  },
  ERR_AMPOULE_CORRUPT_SNAPSHOT: {
    summary: "a snapshot on disk is damaged",
    cause:
      "A file of the store is malformed, truncated, too large, missing, not what its digest says, or no regular file; `details.file` and `details.what` tell which and how.",
    remedy:
      "Save the snapshot again, which replaces damaged blobs, or copy the store again. `npx ampoule snapshot verify <store>` checks all of one.",
    sandbox: "none",
  },
  ERR_AMPOULE_INCOMPATIBLE_SNAPSHOT: {
    summary: "the snapshot cannot be used here",
    cause:
      "It is of a guest with other functions than the sandbox that was to go back to it; or it was saved by another release or on a machine whose processor has more features, and `details.reason` is `format`, `abi`, `system-pages`, `architecture` or `cpu-features`.",
    remedy:
      "Create a sandbox from it instead: `Sandbox.create({ snapshot })`. One from disk: save it again with this release, on a machine like the one that loads it.",
    sandbox: "unchanged",
  },
  ERR_AMPOULE_STORE: {
    summary: "the host's file system refused an operation on a store",
    cause:
      "The disk is full, or the process lacks a permission; `details.operation`, `details.file` and `details.errno` tell what was refused.",
    remedy: "Mend what the errno names. The store is as it was before.",
    sandbox: "unchanged",
  },
  ERR_AMPOULE_BUSY: {
    summary: "the sandbox is running another call",
    cause: "`callSync` and `restoreSync` cannot wait for what runs now.",
    remedy: "Await the other call first, or use `call` and `restore`, which queue.",
    sandbox: "unchanged",
  },
  ERR_AMPOULE_QUEUE_FULL: {
    summary: "a pool has as many waiting callers as it may",
    cause:
      "All sandboxes of the pool are in use, there are `size.max` of them, and `maxQueue` callers wait already.",
    remedy:
      'Slow the callers down, or raise `size.max` or `maxQueue`. With `whenFull: "wait"` everybody waits.',
    sandbox: "none",
  },
  ERR_AMPOULE_REENTRANT: {
    summary: "a host function called the sandbox that waits for it",
    cause: "The guest runs one call at a time, so the inner call could never begin.",
    remedy: "Return first and call afterwards, or use a second sandbox.",
    sandbox: "unchanged",
  },
} as const satisfies Record<string, ErrorEntry>;

/** The stable code of an {@link AmpouleError}. */
export type ErrorCode = keyof typeof ERROR_CODES;
