/** The same noise through two models: the images of each, and how long each takes. N images, B internal batch. */
import { InputError } from "../../array/input-error.ts";
import { type NDArray, stackedRows } from "../../array/ndarray.ts";
import type { Engine } from "../../engine/engine.ts";
import type { ImageSampler } from "../../sampling/image-sampler.ts";
import type { SamplingPrecision, SamplingSettings } from "../../sampling/sampling-settings.ts";
import { sampledBy } from "../../sampling/usable-images.ts";
import type { ModelFile } from "../../weights/model-file.ts";
import { median, medianRatio, timeInTurns, warmSampler } from "./timing.ts";

type ComparedModel = Pick<ModelFile, "model" | "tensors" | "process" | "path"> & {
  /** Instead of that of the settings that both share. */
  readonly precision?: SamplingPrecision;
};
type Images = NDArray<"float32">;

export interface PairRequest {
  readonly engine: Engine;
  readonly models: readonly [ComparedModel, ComparedModel];
  /** [N] */
  readonly labels: Int32Array;
  readonly seed: number;
  readonly sampling: SamplingSettings;
  readonly signal?: AbortSignal;
  /** Called after each round with the number of images that both models have sampled. */
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
  /** Every setting of the first model's sampler; that of the second is alike, but for its precision. */
  readonly settings: ImageSampler["settings"];
}

/** Rounds that the images are divided into: enough for a median. */
const ROUNDS = 4;
const MOST_ROWS = 16;

/**
 * Samples N images from each model in rounds: a batch from one, the same batch from the other, in turn.
 * @throws InputError for models that cannot be compared; the signal's reason if aborted.
 */
export async function pairedSamples(request: PairRequest): Promise<PairedSamples> {
  const { engine, models, labels, seed, sampling, signal } = request;
  requireEqualImages("compare", ...models);
  const batch = Math.min(MOST_ROWS, Math.max(2, Math.ceil(labels.length / ROUNDS)));
  const samplers: ImageSampler[] = [];
  try {
    for (const { model, tensors: weights, process, path, precision } of models) {
      const own = { engine, model, weights, seed, batch, ...(signal && { signal }) };
      samplers.push(
        await sampledBy(path, () => warmSampler(own, process, { ...sampling, ...(precision && { precision }) })),
      );
    }
    const images: [Images[], Images[]] = [[], []];
    const rounds = Math.ceil(labels.length / batch);
    const seconds = await timeInTurns([0, 1] as const, rounds, async (which, round) => {
      const first = round * batch;
      const own = labels.subarray(first, first + batch);
      const y = new Int32Array(batch);
      y.set(own);
      const found = await sampledBy(models[which].path, () =>
        samplers[which]!.sample({ first, y, rows: own.length, onModelEvaluation: () => signal?.throwIfAborted() }),
      );
      images[which].push((found as Images).rows(0, own.length));
      if (images[0].length === images[1].length) request.onRound?.(first + own.length);
    });
    const [a, b] = seconds.map((all) => all.map((one) => one / batch)) as [number[], number[]];
    return {
      images: [stackedRows(images[0]), stackedRows(images[1])],
      secondsPerImage: [median(a), median(b)],
      ratio: medianRatio(a, b),
      rounds,
      settings: samplers[0]!.settings,
    };
  } finally {
    for (const sampler of samplers) await sampler.release();
  }
}

/** @throws InputError for models of other images, classes or processes, naming those of each. */
export function requireEqualImages(
  command: string,
  a: Pick<ModelFile, "model" | "path">,
  b: Pick<ModelFile, "model" | "path">,
): void {
  const textOf = ({ model: { family, config } }: Pick<ModelFile, "model">) =>
    `${config.inChannels} × ${config.inputSize} × ${config.inputSize}, ${config.numClasses} classes, process ${family.process}`;
  if (textOf(a) === textOf(b)) return;
  throw new InputError(
    `${command}: expected models of the same images, found ${textOf(a)} in ${a.path} and ${textOf(b)} in ${b.path}; ` +
      "choose others",
  );
}
