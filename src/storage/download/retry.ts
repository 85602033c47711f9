/** Retries: what may be tried again, how often, and how long to wait in between. */

import { InputError } from "../../array/input-error.ts";
import type { DownloadContext } from "./settings.ts";

/** A failure that the next try may not have: a dropped connection, a busy server. */
export class Interruption extends Error {
  override readonly name = "Interruption";
  /** What the server asked for; undefined lets the wait grow from try to try. */
  readonly waitMs: number | undefined;
  /** Whether the try received so much that it does not count against the limit. */
  readonly progressed: boolean;

  constructor(message: string, { waitMs, progressed = false }: { waitMs?: number; progressed?: boolean } = {}) {
    super(message);
    this.waitMs = waitMs;
    this.progressed = progressed;
  }
}

/** The server contradicts itself, or what is known of the file: what was received is discarded. */
export class WrongAnswer extends Interruption {
  constructor(message: string) {
    super(message, { waitMs: 0 });
  }
}

/** One try: its signal aborts when the caller aborts, or when `touch` is not called for `stallMs`. */
export interface Try {
  readonly signal: AbortSignal;
  touch(): void;
}

const longestWait = 300_000;

/**
 * Calls `body` until it returns, has failed `attempts` times in a row without progress, or was answered wrongly twice.
 * Waits about 0.5, 1, 2, … seconds, at most 30; a server may ask for up to five minutes (`Retry-After`).
 * @throws the signal's reason when it is aborted; InputError, with the last Interruption as its cause, when all tries
 *   failed; every other error of `body` at once.
 */
export async function retrying<T>(
  subject: string,
  context: DownloadContext,
  body: (one: Try) => Promise<T>,
): Promise<T> {
  const { signal, attempts, notice, pause } = context;
  let wrongAnswers = 0;
  for (let failures = 0; ; ) {
    signal?.throwIfAborted();
    try {
      return await oneTry(context, body);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (!(error instanceof Interruption)) throw error;
      const { message, progressed } = error;
      if (error instanceof WrongAnswer && ++wrongAnswers === 2) {
        throw new InputError(`cannot download ${subject}: ${message}, twice; nothing of it was kept`);
      }
      const givenUp = (when: string) =>
        new InputError(`cannot download ${subject}: ${message}, ${when}; a later try resumes from here`, {
          cause: error,
        });
      failures = progressed ? 1 : failures + 1;
      if (failures >= attempts) throw givenUp(failures === 1 ? "after one try" : `after ${failures} tries`);
      const waitMs = error.waitMs ?? Math.min(30_000, 500 * 2 ** (failures - 1)) * (0.75 + Math.random() / 2);
      if (waitMs > longestWait) throw givenUp(`asking to wait ${Math.ceil(waitMs / 60_000)} minutes`);
      notice(`${subject}: ${message}; trying again${waitMs >= 1000 ? ` in ${Math.round(waitMs / 1000)} s` : ""}`);
      await pause(waitMs, signal).catch((stopped: unknown) => {
        throw signal?.aborted ? signal.reason : stopped;
      });
    }
  }
}

/** Ends the connections of a try with it: a body that is not read to its end would keep its connection open. */
async function oneTry<T>({ signal, stallMs }: DownloadContext, body: (one: Try) => Promise<T>): Promise<T> {
  const ended = new AbortController();
  const timer = setTimeout(() => ended.abort(new Interruption("no data for too long")), stallMs);
  try {
    const all = AbortSignal.any(signal ? [ended.signal, signal] : [ended.signal]);
    return await body({ signal: all, touch: () => void timer.refresh() });
  } finally {
    clearTimeout(timer);
    ended.abort();
  }
}

/** Whether the error says that a server could not be reached or would not serve, as opposed to refusing. */
export function isUnreachable(error: unknown): boolean {
  return error instanceof InputError && error.cause instanceof Interruption;
}
