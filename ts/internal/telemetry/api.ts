/**
 * The user's OpenTelemetry API, if there is one. Both packages are optional and loaded at first use,
 * when something has been registered with them. Whatever copy of a package the user registers with,
 * the registry is the same: it hangs on `globalThis`. A copy takes nothing from there that an older one
 * has registered, and says nothing about it: {@link warnIfRefused} does.
 */
import { createRequire } from "node:module";
import type * as Api from "@opentelemetry/api";
import type * as LogsApi from "@opentelemetry/api-logs";
import { warnOnce } from "./warnings.js";

/** What has been registered with version 1 of `@opentelemetry/api`. */
interface Registry {
  readonly version?: string;
  readonly trace?: object;
  readonly metrics?: object;
}

const REGISTRY = Symbol.for("opentelemetry.js.api.1");
const LOGS_REGISTRY = Symbol.for("io.opentelemetry.js.api.logs");

const globals = globalThis as { readonly [REGISTRY]?: Registry; readonly [LOGS_REGISTRY]?: object };

/** What is registered for spans; another one after another registration. */
export function registeredTracing(): object | undefined {
  return globals[REGISTRY]?.trace;
}

/** What is registered for metrics. */
export function registeredMetrics(): object | undefined {
  return globals[REGISTRY]?.metrics;
}

/** What is registered for log records. */
export function registeredLogging(): object | undefined {
  return globals[LOGS_REGISTRY];
}

let api: typeof Api | null | undefined;
let logsApi: typeof LogsApi | null | undefined;

/** `@opentelemetry/api`. Only asked for when something is registered with it. */
export function openTelemetry(): typeof Api | undefined {
  if (api === undefined) api = load<typeof Api>("@opentelemetry/api");
  return api ?? undefined;
}

/** `@opentelemetry/api-logs`. Only asked for when something is registered with it. */
export function openTelemetryLogs(): typeof LogsApi | undefined {
  if (logsApi === undefined) logsApi = load<typeof LogsApi>("@opentelemetry/api-logs");
  return logsApi ?? undefined;
}

function load<T>(name: string): T | null {
  try {
    return createRequire(import.meta.url)(name) as T;
  } catch (error) {
    warnOnce(
      "AMPOULE_OPENTELEMETRY_MISSING",
      `an OpenTelemetry SDK is registered, but Ampoule cannot load ${name}; install it ` +
        `where Ampoule is installed to see sandboxes in its data (${(error as { code?: string }).code})`,
    );
    return null;
  }
}

/**
 * Warns if the copy of the API that Ampoule finds does not know what is registered, but gives `known` in
 * its place.
 */
export function warnIfRefused(registered: object | undefined, known: object): void {
  if (registered === undefined || registered === known) return;
  warnOnce(
    "AMPOULE_OPENTELEMETRY_VERSION",
    `an OpenTelemetry SDK is registered with version ${globals[REGISTRY]?.version} of @opentelemetry/api, ` +
      "and the copy that Ampoule finds is newer and takes nothing from it: sandboxes are missing in its " +
      "data. Bring both to one version; npm ls @opentelemetry/api shows the copies",
  );
}

/** The version of OpenTelemetry's conventions that names and attributes keep to. */
export const SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0";

let scope: { readonly name: string; readonly version: string } | undefined;

/** The instrumentation scope of all that Ampoule reports. */
export function instrumentationScope(): { readonly name: string; readonly version: string } {
  scope ??= createRequire(import.meta.url)("ampoule/package.json") as typeof scope & object;
  return scope;
}
