/**
 * The tracing channels of `node:diagnostics_channel`, for tools that look at a process without the
 * user's code knowing. Without subscribers they cost asking for these.
 */
import { type TracingChannel, tracingChannel } from "node:diagnostics_channel";
import type {
  CallMessage,
  CreateMessage,
  HostFunctionMessage,
  RestoreMessage,
} from "../../diagnostics.js";
import { isThenable } from "../thenable.js";

/** Announces calls. */
export const CALLS: TracingChannel<unknown, CallMessage> = tracingChannel("ampoule:call");
/** Announces sandboxes that are made. */
export const CREATIONS: TracingChannel<unknown, CreateMessage> = tracingChannel("ampoule:create");
/** Announces restores. */
export const RESTORES: TracingChannel<unknown, RestoreMessage> = tracingChannel("ampoule:restore");
/** Announces calls of host functions. */
export const HOST_FUNCTIONS: TracingChannel<unknown, HostFunctionMessage> =
  tracingChannel("ampoule:host-function");

/**
 * Announces `body`, which may return a promise or not: as `traceSync` of a channel does, and if it is
 * a promise, as `tracePromise`.
 */
export function traceEither<Message extends object>(
  { start, end, asyncStart, asyncEnd, error }: TracingChannel<unknown, Message>,
  body: () => unknown,
  given: Message,
): unknown {
  const message = given as Message & { result?: unknown; error?: unknown };
  const settled = (): void => {
    asyncStart.publish(message);
    asyncEnd.publish(message);
  };
  const fulfilled = (result: unknown): unknown => {
    message.result = result;
    settled();
    return result;
  };
  const failed = (problem: unknown): void => {
    message.error = problem;
    error.publish(message);
  };
  const rejected = (problem: unknown): never => {
    failed(problem);
    settled();
    throw problem;
  };
  return start.runStores(message, () => {
    try {
      const result = body();
      if (isThenable(result)) return Promise.resolve(result).then(fulfilled, rejected);
      message.result = result;
      return result;
    } catch (problem) {
      failed(problem);
      throw problem;
    } finally {
      end.publish(message);
    }
  });
}

/** Announces `work`, a restore of sandbox `sandbox` to that snapshot. */
export function announcedRestore(
  sandbox: string,
  snapshot: number | null,
  work: () => Promise<void>,
): Promise<void> {
  if (!RESTORES.hasSubscribers) return work();
  return RESTORES.tracePromise(work, { sandbox, snapshot });
}
