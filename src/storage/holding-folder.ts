/** Work in a folder that one process at a time holds: the others wait. */

import { setTimeout } from "node:timers/promises";
import { type LockHolder, lockFolder, lockHolder } from "./lock.ts";

const patience = 5; // attempts at a folder that cannot be locked and has no holder: the last one shows its error

export interface Waiting {
  /** Called once, with the process that holds the folder. */
  readonly onWait: (holder: LockHolder) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs `body` while this call holds the folder as `lockFolder` does. Waits as long as a living process of this machine
 * holds it.
 * @throws InputError if the folder cannot be locked, or a process of another machine holds it, of which nobody here
 *   can tell whether it still runs; the signal's reason while waiting.
 */
export async function holdingFolder<T>(folder: string, waiting: Waiting, body: () => Promise<T>): Promise<T> {
  const release = await lockWhenFree(folder, waiting);
  try {
    return await body();
  } finally {
    release();
  }
}

async function lockWhenFree(folder: string, { onWait, signal }: Waiting): Promise<() => void> {
  let isWaiting = false;
  for (let vacant = 0; ; ) {
    signal?.throwIfAborted();
    const holder = lockHolder(folder);
    if (!holder?.isLocal) {
      try {
        return lockFolder(folder);
      } catch (error) {
        if (holder !== undefined || ++vacant === patience) throw error;
      }
    } else {
      vacant = 0;
      if (!isWaiting) onWait(holder);
      isWaiting = true;
    }
    await setTimeout(100 + Math.random() * 100);
  }
}
