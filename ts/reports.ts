/** What this machine offers. */
export interface HypervisorReport {
  /** The device that was tried. */
  readonly device: string;
  /** Whether a hypervisor can be used. */
  readonly usable: boolean;
  /** What was found, as a sentence. */
  readonly finding: string;
  /** What to do about it; empty when nothing needs doing. */
  readonly remedy: string;
  /** Features of the processor that guests get. */
  readonly features: readonly { readonly name: string; readonly present: boolean }[];
  /** Whether the Microsoft Hypervisor's device exists. */
  readonly mshvPresent: boolean;
  /** CPUs that this process may run on. */
  readonly cpus: number;
  /** How long a sandbox waits when it runs on another thread than before, in milliseconds. */
  readonly threadChangeMs: number;
}

/** What is in an executable. */
export interface ExecutableReport {
  /** `"fixed"`: loaded at the addresses in the file; `"position-independent"`: anywhere. */
  readonly kind: string;
  /** Address of the first instruction, as `0x...`. */
  readonly entry: string;
  /** First address behind what is loaded, as `0x...`. */
  readonly end: string;
  /** Its size. */
  readonly fileBytes: number;
}
