/** Types that turn a guest's declaration into the types of a sandbox. Nothing here exists at run time. */
import type { CallOptions } from "./options.js";

/** Any function, as a bound for types. */
// biome-ignore lint/suspicious/noExplicitAny: a bound that every function type meets; no value has it
type AnyFunction = (...args: any[]) => unknown;

/** A guest's declaration, as `ampoule types` writes it. */
export interface GuestDeclaration {
  /** Functions of the guest. */
  readonly exports: Readonly<Record<string, AnyFunction>>;
  /** Host functions that the guest needs. */
  readonly imports: Readonly<Record<string, AnyFunction>>;
}

/** A guest without a declaration: every name is allowed, arguments and results are `unknown`. */
export interface UndeclaredGuest {
  readonly exports: Readonly<Record<string, (...args: unknown[]) => unknown>>;
  readonly imports: Readonly<Record<string, AnyFunction>>;
}

/** The asynchronous functions of a sandbox: the guest's, each with call options as an extra argument. */
export type Calls<G extends GuestDeclaration> = {
  readonly [Name in keyof G["exports"]]: (
    ...args: [...Parameters<G["exports"][Name]>, options?: CallOptions]
  ) => Promise<ReturnType<G["exports"][Name]>>;
};

/** The functions of a sandbox that keep the JavaScript thread until they are done. */
export type SyncCalls<G extends GuestDeclaration> = {
  readonly [Name in keyof G["exports"]]: (
    ...args: [...Parameters<G["exports"][Name]>, options?: CallOptions]
  ) => ReturnType<G["exports"][Name]>;
};

/** The host functions a guest needs, as one implements them: synchronous or not. */
export type HostFunctions<G extends GuestDeclaration> = {
  readonly [Name in keyof G["imports"]]: (
    ...args: Parameters<G["imports"][Name]>
  ) => ReturnType<G["imports"][Name]> | Promise<ReturnType<G["imports"][Name]>>;
};

/** The option `hostFunctions`: required exactly when the declaration imports something. */
export type HostFunctionsOption<G extends GuestDeclaration> = string extends keyof G["imports"]
  ? { readonly hostFunctions?: HostFunctions<G> }
  : keyof G["imports"] extends never
    ? { readonly hostFunctions?: HostFunctions<G> }
    : { readonly hostFunctions: HostFunctions<G> };
