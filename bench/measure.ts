/** Measuring: interleaved repetitions, medians, peak memory of this process, and what machine it was. */
import { readFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { versions } from "../src/tasks/version.ts";

/** Runs the candidates in turn (A B C A B C …) and returns the milliseconds of each, warm-up excluded. */
export async function interleaved(
  candidates: Readonly<Record<string, (round: number) => Promise<void>>>,
  rounds: number,
  warmup = 2,
): Promise<Record<string, number[]>> {
  const times: Record<string, number[]> = Object.fromEntries(Object.keys(candidates).map((name) => [name, []]));
  for (let round = -warmup; round < rounds; round++) {
    for (const [name, run] of Object.entries(candidates)) {
      const start = performance.now();
      await run(round);
      if (round >= 0) times[name]!.push(performance.now() - start);
    }
  }
  return times;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Median of a/b, pair by pair: holds when the machine's speed drifts. */
export const pairedRatio = (a: readonly number[], b: readonly number[]): number => median(a.map((x, i) => x / b[i]!));

/** Peak resident memory of this process in GB (VmHWM), or undefined where the system does not tell. */
export function peakGigabytes(): number | undefined {
  try {
    const kilobytes = /VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    return kilobytes === undefined ? undefined : (Number(kilobytes) * 1024) / 1e9;
  } catch {
    return undefined;
  }
}

/** One line: date, machine, versions. */
export function machine(): string {
  const [cpu] = cpus();
  const parts = Object.entries(versions()).map(([name, version]) => `${name} ${version}`);
  return `${new Date().toISOString().slice(0, 10)}, ${cpus().length} × ${cpu?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${parts.join(", ")}`;
}

/** `--name value` from the command line. */
export function flag(name: string, fallback: string): string {
  const at = process.argv.indexOf(`--${name}`);
  return at >= 0 ? (process.argv[at + 1] ?? fallback) : fallback;
}
