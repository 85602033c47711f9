/** What a timing depends on besides the program: it is recorded with each. */
import { arch, cpus, platform, totalmem } from "node:os";

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly platform: string;
  /** Of the engine. */
  readonly threads: number;
  /** When, as ISO 8601. */
  readonly date: string;
}

/** This machine, now. */
export function machineNow(threads: number): Machine {
  const processors = cpus();
  return {
    processor: processors[0]?.model.trim() ?? "unknown",
    cores: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${platform()} ${arch()}`,
    threads,
    date: new Date().toISOString(),
  };
}

/** `2 threads of 4 × Xeon …, 16 GiB, linux x64, 2026-11-02T…` */
export const machineText = ({ processor, cores, memoryGiB, platform: os, threads, date }: Machine): string =>
  `${threads} ${threads === 1 ? "thread" : "threads"} of ${cores} × ${processor}, ${memoryGiB} GiB, ${os}, ${date}`;
