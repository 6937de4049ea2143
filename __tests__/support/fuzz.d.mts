import type * as fastCheck from "fast-check";
import type * as api from "../../ts/index.js";

/** What always holds, by name. */
export interface Properties {
  readonly properties: Readonly<Record<string, fastCheck.IAsyncProperty<never>>>;
  /** Closes what was kept from run to run. */
  close(): Promise<void>;
}

export function propertiesOf(fc: typeof fastCheck, of: typeof api, guest: string): Properties;
