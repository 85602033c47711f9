/** Timing models in turn, round by round, so that a machine that slows down favours none; and what machine it was. */
import { arch, cpus, platform, totalmem } from "node:os";
import type { Process } from "../../diffusion/process.ts";
import type { Engine } from "../../engine/engine.ts";
import { compileSampler } from "../../sampling/compile-sampler.ts";
import type { BatchRequest, ImageSampler, SamplerRequest } from "../../sampling/image-sampler.ts";
import type { SamplingSettings } from "../../sampling/sampling-settings.ts";

/** The middle one; the mean of the two in the middle if their number is even. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.ceil(middle) - 1]! + sorted[Math.floor(middle)]!) / 2;
}

/** Every item once in each round, forward in even rounds and backward in odd ones. */
export function turnsOf<T>(items: readonly T[], rounds: number): { readonly item: T; readonly round: number }[] {
  return Array.from({ length: rounds }, (_, round) =>
    (round % 2 === 0 ? items : items.toReversed()).map((item) => ({ item, round })),
  ).flat();
}

/** Seconds [item][round] of `work`, done for the items in turn. */
export async function timeInTurns<T>(
  items: readonly T[],
  rounds: number,
  work: (item: T, round: number) => Promise<unknown>,
): Promise<number[][]> {
  const seconds: number[][] = items.map(() => []);
  for (const { item: i, round } of turnsOf([...items.keys()], rounds)) {
    seconds[i]!.push(await secondsOf(() => work(items[i]!, round)));
  }
  return seconds;
}

/** Seconds that `work` takes. */
export async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

/** How many times as long the first takes as the second, round by round: the median of the ratios. */
export const medianRatio = (first: readonly number[], second: readonly number[]): number =>
  median(first.map((seconds, round) => seconds / second[round]!));

type Batch = Omit<BatchRequest, "onModelEvaluation">;

class Enough extends Error {}

/** Samples a batch to its end, or until it is enough after so many model evaluations; returns how many were made. */
export async function sampleUntil(
  sampler: ImageSampler,
  batch: Batch,
  isEnough: (evaluations: number) => boolean,
): Promise<number> {
  let evaluations = 0;
  const onModelEvaluation = () => {
    if (isEnough(++evaluations)) throw new Enough();
  };
  try {
    await sampler.sample({ ...batch, onModelEvaluation });
  } catch (error) {
    if (!(error instanceof Enough)) throw error;
  }
  return evaluations;
}

/**
 * A compiled sampler each of whose graphs has run: first runs allocate what later ones use again, and are not timed.
 * @throws InputError as {@link compileSampler}; the signal's reason if aborted.
 */
export async function warmSampler(
  request: SamplerRequest,
  process: Process,
  settings: SamplingSettings,
): Promise<ImageSampler> {
  const cold = new Set<object>();
  const engine: Engine = {
    ...request.engine,
    async compile(graph, options) {
      const program = await request.engine.compile(graph, options);
      cold.add(program);
      return {
        run(inputs) {
          cold.delete(program);
          return program.run(inputs);
        },
        release: () => program.release(),
      };
    },
  };
  const sampler = await compileSampler({ ...request, engine }, process, settings);
  try {
    const batch = { first: 0, y: new Int32Array(request.batch), rows: request.batch };
    // A MAR's inputs have another size in every iteration: only a whole batch has met them all.
    await sampleUntil(sampler, batch, () => {
      request.signal?.throwIfAborted();
      return process.kind !== "tokens" && cold.size === 0;
    });
    return sampler;
  } catch (error) {
    await sampler.release();
    throw error;
  }
}

/** What a timing depends on besides the program: it is recorded with each. */
export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly platform: string;
  /** Of the engine. */
  readonly threads: number;
  /** What computed, if not the CPU. */
  readonly device?: string;
  /** When, as ISO 8601. */
  readonly date: string;
}

/** This machine, now. */
export function machineNow(threads: number, device = "cpu"): Machine {
  const processors = cpus();
  return {
    processor: processors[0]?.model.trim() ?? "unknown",
    cores: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${platform()} ${arch()}`,
    threads,
    ...(device !== "cpu" && { device }),
    date: new Date().toISOString(),
  };
}

/** `2 threads of 4 × Xeon …, 16 GiB, linux x64, 2026-11-02T…` */
export const machineText = ({ processor, cores, memoryGiB, platform: os, threads, device, date }: Machine): string =>
  `${device === undefined ? "" : `${device}, `}${threads} ${threads === 1 ? "thread" : "threads"} of ${cores} × ${processor}, ${memoryGiB} GiB, ${os}, ${date}`;
