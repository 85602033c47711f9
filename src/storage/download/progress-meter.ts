/** Progress over several files: bytes so far, bytes in all, and the rate, told at most ten times a second. */

import type { DownloadContext } from "./settings.ts";

/** Hears of single files, tells of all of them. */
export interface ProgressMeter {
  /** `bytes` of `total` of this file are there. */
  at(file: string, bytes: number, total: number | undefined): void;
  /** This file is there. */
  done(file: string, bytes: number): void;
}

const betweenMs = 100;

/** A meter for files whose sizes may be known beforehand. */
export function progressMeter(
  files: readonly { readonly path: string; readonly size?: number }[],
  { progress }: DownloadContext,
): ProgressMeter {
  const totals = new Map(files.map(({ path, size }) => [path, size]));
  const arrived = new Map<string, number>();
  const started = performance.now();
  let transferred = 0;
  let told = Number.NEGATIVE_INFINITY;
  const tell = (file: string) => {
    told = performance.now();
    const bytes = [...arrived.values()].reduce((sum, one) => sum + one, 0);
    const sizes = [...totals.values()];
    const isKnown = sizes.every((size) => size !== undefined);
    const total = isKnown ? { total: sizes.reduce((sum, size) => sum + (size ?? 0), 0) } : {};
    const bytesPerSecond = transferred / Math.max(0.001, (told - started) / 1000);
    progress?.({ file, bytes, bytesPerSecond, ...total });
  };
  return {
    at: (file, bytes, total) => {
      const before = arrived.get(file);
      // The first report of a file is what an earlier call left; a smaller one is a restart.
      if (before !== undefined && bytes > before) transferred += bytes - before;
      arrived.set(file, bytes);
      if (total !== undefined) totals.set(file, total);
      if (before === undefined || performance.now() - told >= betweenMs) tell(file);
    },
    done: (file, bytes) => {
      arrived.set(file, bytes);
      totals.set(file, bytes);
      tell(file);
    },
  };
}
