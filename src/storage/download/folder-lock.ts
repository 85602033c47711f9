/** Waiting for a folder of the cache while another download fills it. */

import { setTimeout } from "node:timers/promises";
import { makeFolder } from "../atomic-write.ts";
import { lockFolder, lockHolder } from "../lock.ts";
import type { DownloadContext } from "./settings.ts";

const patience = 5; // looks at a folder that cannot be locked and has no holder: the last one shows its error

/**
 * Runs `body` while this process, and this call in it, holds the folder. Waits as long as another holder lives.
 * @throws InputError if the folder cannot be locked, or a process of another machine holds it, of which nobody here
 *   can tell whether it still runs; the signal's reason while waiting.
 */
export async function holdingFolder<T>(folder: string, context: DownloadContext, body: () => Promise<T>): Promise<T> {
  const release = await lockWhenFree(folder, context);
  try {
    return await body();
  } finally {
    release();
  }
}

async function lockWhenFree(folder: string, { signal, notice }: DownloadContext): Promise<() => void> {
  makeFolder(folder);
  let told = false;
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
      if (!told) notice(`waiting for process ${holder.pid}, which downloads to ${folder}`);
      told = true;
    }
    await setTimeout(100 + Math.random() * 100);
  }
}
