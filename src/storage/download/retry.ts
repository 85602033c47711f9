/** Trying again: what may be tried again, how often, and how long to wait in between. */

import { InputError } from "../../array/input-error.ts";
import type { DownloadContext } from "./settings.ts";

/** A try that failed in a way that the next one may not: a dropped connection, a busy server. */
export class Interruption extends Error {
  override readonly name = "Interruption";
  /** What the server asked for; undefined lets the wait grow from try to try. */
  readonly waitMs: number | undefined;
  /** Whether the try brought so much that it does not count against the limit. */
  readonly progressed: boolean;

  constructor(message: string, { waitMs, progressed = false }: { waitMs?: number; progressed?: boolean } = {}) {
    super(message);
    this.waitMs = waitMs;
    this.progressed = progressed;
  }
}

const longestWait = 300_000;

/**
 * Calls `body` until it returns, or has failed `attempts` times in a row without progress. Waits about 0.5, 1, 2, …
 * seconds, at most 30; a server may ask for up to five minutes (`Retry-After`).
 * @throws the signal's reason when it is aborted; InputError, with the last Interruption as its cause, when all tries
 *   failed; every other error of `body` at once.
 */
export async function retrying<T>(subject: string, context: DownloadContext, body: () => Promise<T>): Promise<T> {
  const { signal, attempts, notice, pause } = context;
  for (let failures = 0; ; ) {
    signal?.throwIfAborted();
    try {
      return await body();
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (!(error instanceof Interruption)) throw error;
      failures = error.progressed ? 1 : failures + 1;
      if (failures >= attempts)
        throw givenUp(subject, error, failures === 1 ? "after one try" : `after ${failures} tries`);
      const waitMs = error.waitMs ?? Math.min(30_000, 500 * 2 ** (failures - 1)) * (0.75 + Math.random() / 2);
      if (waitMs > longestWait) throw givenUp(subject, error, `asking to wait ${Math.ceil(waitMs / 60_000)} minutes`);
      notice(`${subject}: ${error.message}; trying again${waitMs >= 1000 ? ` in ${Math.round(waitMs / 1000)} s` : ""}`);
      await pause(waitMs, signal).catch((stopped: unknown) => {
        throw signal?.aborted ? signal.reason : stopped;
      });
    }
  }
}

/** Whether the error says that a server could not be reached or would not serve, as opposed to refusing. */
export function isUnreachable(error: unknown): boolean {
  return error instanceof InputError && error.cause instanceof Interruption;
}

function givenUp(subject: string, last: Interruption, when: string): InputError {
  return new InputError(`cannot download ${subject}: ${last.message}, ${when}; a later try goes on from here`, {
    cause: last,
  });
}
