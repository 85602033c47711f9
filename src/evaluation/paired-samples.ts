/** The same noise through two models: what each makes of it, and how long each takes. N images, B internal batch. */
import { type NDArray, stackedRows } from "../array/ndarray.ts";
import type { Engine } from "../engine/engine.ts";
import { compileSampler, type ImageSampler, type SamplingSettings } from "../sampling/image-sampler.ts";
import { sampledBy } from "../sampling/usable-images.ts";
import type { ModelFile } from "../weights/model-file.ts";
import { requireEqualImages } from "./equal-images.ts";
import { median, warmingEngine, warmUp } from "./speed/timing.ts";

type Contestant = Pick<ModelFile, "model" | "tensors" | "process" | "path">;
type Images = NDArray<"float32">;

export interface PairRequest {
  readonly engine: Engine;
  readonly models: readonly [Contestant, Contestant];
  /** [N] */
  readonly labels: Int32Array;
  readonly seed: number;
  readonly sampling: SamplingSettings;
  readonly signal?: AbortSignal;
  /** Told after each round: images that both models have drawn. */
  readonly onRound?: (images: number) => void;
}

export interface PairedSamples {
  /** Both [N, C, S, S]; image i of both began with the same noise. */
  readonly images: readonly [Images, Images];
  /** Medians over the rounds. */
  readonly secondsPerImage: readonly [number, number];
  /** Median over the rounds of the first model's time ÷ the second's. */
  readonly ratio: number;
  readonly rounds: number;
  /** Every setting of the samplers; both have the same. */
  readonly settings: ImageSampler["settings"];
}

/** Rounds that the images are divided into: enough for a median. */
const ROUNDS = 4;
const MOST_ROWS = 16;

/**
 * Draws N images from each model in rounds: a batch from one, the same batch from the other, the first of them by turns,
 * so that a machine that slows down does not decide.
 * @throws InputError for models that cannot be compared; the signal's reason if aborted.
 */
export async function pairedSamples(request: PairRequest): Promise<PairedSamples> {
  const { models, labels, signal } = request;
  requireEqualImages("compare", ...models);
  const batch = Math.min(MOST_ROWS, Math.max(2, Math.ceil(labels.length / ROUNDS)));
  const samplers: ImageSampler[] = [];
  try {
    for (const contestant of models) samplers.push(await warmSampler(request, contestant, batch));
    const drawn: [Images[], Images[]] = [[], []];
    const seconds: [number[], number[]] = [[], []];
    for (let first = 0; first < labels.length; first += batch) {
      const rows = Math.min(batch, labels.length - first);
      const y = new Int32Array(batch);
      y.set(labels.subarray(first, first + rows));
      const isEven = drawn[0].length % 2 === 0;
      for (const which of isEven ? ([0, 1] as const) : ([1, 0] as const)) {
        const started = performance.now();
        const images = await sampledBy(models[which].path, () =>
          samplers[which]!.sample({ first, y, rows, onModelEvaluation: () => signal?.throwIfAborted() }),
        );
        seconds[which].push((performance.now() - started) / 1000 / batch);
        drawn[which].push((images as Images).rows(0, rows));
      }
      request.onRound?.(first + rows);
    }
    return {
      images: [stackedRows(drawn[0]), stackedRows(drawn[1])],
      secondsPerImage: [median(seconds[0]), median(seconds[1])],
      ratio: median(seconds[0].map((a, i) => a / seconds[1][i]!)),
      rounds: seconds[0].length,
      settings: samplers[0]!.settings,
    };
  } finally {
    for (const sampler of samplers) await sampler.release();
  }
}

/** A sampler whose graphs have run: their first runs are not timed. */
async function warmSampler(
  { engine: own, seed, sampling, signal }: PairRequest,
  { model, tensors, process, path }: Contestant,
  batch: number,
): Promise<ImageSampler> {
  const engine = warmingEngine(own);
  const request = { engine, model, weights: tensors, seed, batch, ...(signal && { signal }) };
  const sampler = await compileSampler(request, process, sampling);
  try {
    const whole = { first: 0, y: new Int32Array(batch), rows: batch };
    await sampledBy(path, () => warmUp(sampler, { engine, process, batch: whole, signal }));
    return sampler;
  } catch (error) {
    await sampler.release();
    throw error;
  }
}
