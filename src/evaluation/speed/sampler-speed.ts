/** How fast models sample: several samplers in turn, round by round. */
import { InputError } from "../../array/input-error.ts";
import type { Process } from "../../diffusion/process.ts";
import type { Engine, Weight } from "../../engine/engine.ts";
import type { Model } from "../../models/registry.ts";
import type { RunBlock } from "../../nn/run-block.ts";
import { cacheOf } from "../../sampling/caching/step-cache.ts";
import { compileSampler } from "../../sampling/compile-sampler.ts";
import type { ImageSampler } from "../../sampling/image-sampler.ts";
import { balancedLabels } from "../../sampling/sample-images.ts";
import { type SamplingSettings, withCurves } from "../../sampling/sampling-settings.ts";
import { countingEngine } from "./model-cost.ts";
import { median, sampleUntil, timeInTurns } from "./timing.ts";

/** What it/s means here, as in the original's `sample.py`, whose progress bar shows it. */
export const iterationDefinition =
  "An iteration is one denoiser evaluation of a whole batch, with both halves of guidance: with guidance, a batch of 8 " +
  "is 16 rows. It is what the progress bar of the original's sample.py counts (p_sample_loop, 8 images, guided), and it " +
  "contains the sampler's own arithmetic and the drawing of noise, but neither compilation nor an autoencoder.";

/** A model that takes part. */
export interface Runner {
  readonly model: Model;
  readonly weights: ReadonlyMap<string, Weight>;
  readonly process: Process;
  readonly sampling: SamplingSettings;
  readonly runBlock?: RunBlock;
}

export interface SpeedRequest {
  readonly engine: Engine;
  readonly runners: readonly Runner[];
  /** Images of a batch, each at least 2. */
  readonly batches: readonly number[];
  /** Timed rounds. */
  readonly rounds: number;
  /** Model evaluations of each timed batch; without it, images are sampled to their end. */
  readonly iterations?: number;
  readonly seed: number;
  readonly signal?: AbortSignal;
  /** Called before each batch with what it is. */
  readonly onStage?: (what: string) => void;
}

/** One model at one batch size. Times are medians over the rounds. */
export interface SamplerSpeed {
  readonly batch: number;
  /** Model evaluations of a batch that is sampled to its end. */
  readonly evaluations: number;
  readonly iterationsPerSecond: number;
  readonly imagesPerSecond: number;
  /** Whether images were not sampled to their end: images per second then follow from iterations per second. */
  readonly isExtrapolated: boolean;
  /** Seconds of each round's batch: how much the machine wavered. */
  readonly roundSeconds: readonly number[];
  /** Tracing, building sessions and, with a cache, measuring the model for it. */
  readonly compileSeconds: number;
  /** Most memory of the process (RSS) seen after an evaluation, while no other sampler was compiled. */
  readonly peakBytes: number;
  /** Multiply-accumulates of one image sampled to its end, guidance and all steps included. */
  readonly macsPerImage: number;
  /** MAR: runs of the denoising head. Each has a fixed number of rows; those that no token needs are computed too, and count. */
  readonly headRuns?: number;
}

/** Speeds [runner][batch] and what the samplers' settings were. */
export interface SpeedReport {
  readonly speeds: readonly (readonly SamplerSpeed[])[];
  readonly settings: readonly ImageSampler["settings"][];
  /** What follows from them: how much of the model a cache saves, for instance. */
  readonly derived: readonly ImageSampler["derived"][];
}

/** A model at one batch size, and what is known of it before it is timed. */
interface Entry {
  readonly measured: Omit<SamplerSpeed, "iterationsPerSecond" | "imagesPerSecond" | "roundSeconds">;
  readonly runner: Runner;
  readonly name: string;
  readonly sampler: Pick<ImageSampler, "settings" | "derived">;
  /** Model evaluations of a timed batch, and the number that it ends after if it is not sampled to its end. */
  readonly timed: number;
  readonly limit: number | undefined;
}

/**
 * Each sampler is first compiled and run by itself, which gives its memory and its arithmetic; then all are compiled,
 * warmed up by one batch, and sample in turn.
 * @throws InputError for batches of fewer than 2 images, or `iterations` of a sampler whose evaluations are not all alike.
 */
export async function samplerSpeeds(request: SpeedRequest): Promise<SpeedReport> {
  const { runners, batches } = request;
  const small = batches.find((batch) => !(Number.isInteger(batch) && batch >= 2));
  if (small !== undefined)
    throw new InputError(`speed: a batch has at least 2 images, got ${small}; give another size`);
  const entries: Entry[] = [];
  for (const [r, runner] of runners.entries()) {
    for (const batch of batches)
      entries.push(await alone(request, runner, batch, `model ${"AB"[r] ?? r}, batch ${batch}`));
  }
  const seconds = await inTurn(request, entries);
  const speeds = entries.map(({ measured, timed }, i): SamplerSpeed => {
    const iterationsPerSecond = timed / median(seconds[i]!);
    const imagesPerSecond = (measured.batch * iterationsPerSecond) / measured.evaluations;
    return { ...measured, iterationsPerSecond, imagesPerSecond, roundSeconds: seconds[i]! };
  });
  const samplers = runners.map((_, r) => entries[r * batches.length]!.sampler);
  return {
    speeds: runners.map((_, r) => speeds.slice(r * batches.length, (r + 1) * batches.length)),
    settings: samplers.map(({ settings }) => settings),
    derived: samplers.map(({ derived }) => derived),
  };
}

/** Compiles, samples one batch and releases. */
async function alone(request: SpeedRequest, runner: Runner, batch: number, name: string): Promise<Entry> {
  request.onStage?.(`${name}: compiling, first batch`);
  const engine = countingEngine(request.engine);
  const started = performance.now();
  const sampler = await compile({ ...request, engine }, runner, batch);
  const compileSeconds = (performance.now() - started) / 1000;
  const before = { ...engine.count }; // what a sampler measured of its model
  try {
    const limit = limitOf(request, runner, sampler);
    let peakBytes = process.memoryUsage.rss();
    const timed = await sampleBatch(request, runner, sampler, batch, (evaluations) => {
      peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
      return evaluations === limit;
    });
    const evaluations = sampler.modelEvaluations ?? timed;
    const perEvaluation = (engine.count.macs - before.macs) / timed / batch;
    const measured = {
      batch,
      evaluations,
      compileSeconds,
      peakBytes,
      isExtrapolated: timed < evaluations,
      macsPerImage: perEvaluation * evaluations,
      ...(runner.process.kind === "tokens" && { headRuns: engine.count.runs - before.runs - evaluations }),
    };
    return { measured, runner, name, timed, limit, sampler };
  } finally {
    await sampler.release();
  }
}

/** Seconds [entry][round]. */
async function inTurn(request: SpeedRequest, entries: readonly Entry[]): Promise<number[][]> {
  const { rounds } = request;
  const samplers = new Map<Entry, ImageSampler>();
  const sample = (entry: Entry, what: string) => {
    request.onStage?.(`${entry.name}: ${what}`);
    const isEnough = (evaluations: number) => evaluations === entry.limit;
    return sampleBatch(request, entry.runner, samplers.get(entry)!, entry.measured.batch, isEnough);
  };
  try {
    for (const entry of entries) {
      const { runner, measured, sampler } = entry;
      const sampling = withCurves(runner.sampling, cacheOf(sampler)?.curves);
      samplers.set(entry, await compile(request, { ...runner, sampling }, measured.batch));
    }
    for (const entry of entries) await sample(entry, "warming up");
    return await timeInTurns(entries, rounds, (entry, round) => sample(entry, `round ${round + 1} of ${rounds}`));
  } finally {
    for (const sampler of samplers.values()) await sampler.release();
  }
}

function compile(
  { engine, seed, signal }: Pick<SpeedRequest, "engine" | "seed" | "signal">,
  { process: of, sampling, ...model }: Runner,
  batch: number,
): Promise<ImageSampler> {
  return compileSampler({ engine, seed, batch, ...(signal && { signal }), ...model }, of, sampling);
}

/** How many evaluations a batch ends after; undefined for none. @throws InputError where a part says little of the whole. */
function limitOf({ iterations }: SpeedRequest, { process: { kind } }: Runner, sampler: ImageSampler) {
  const { modelEvaluations: evaluations, derived } = sampler;
  if (iterations === undefined || (evaluations !== undefined && iterations >= evaluations)) return undefined;
  const why =
    evaluations === undefined
      ? "the images decide how many there are"
      : kind === "tokens"
        ? "its first iterations sample fewer tokens than its last"
        : derived.cache !== undefined
          ? "with a cache some compute less than others"
          : undefined;
  if (why === undefined) return iterations;
  throw new InputError(
    `speed: ${iterations} iterations of this sampler say little of a whole batch: ${why}; leave the limit out`,
  );
}

/** Samples a batch, or begins to; returns the model evaluations made. */
function sampleBatch(
  { signal }: SpeedRequest,
  { model }: Runner,
  sampler: ImageSampler,
  batch: number,
  isEnough: (evaluations: number) => boolean,
): Promise<number> {
  const y = balancedLabels(batch, model.config.numClasses);
  return sampleUntil(sampler, { first: 0, y, rows: batch }, (evaluations) => {
    signal?.throwIfAborted();
    return isEnough(evaluations);
  });
}
