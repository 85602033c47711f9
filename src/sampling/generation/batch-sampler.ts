/** A compiled model that draws images batch by batch: the one loop behind all generation. B internal batch, C channels, S side. */
import { InputError } from "../../array/input-error.ts";
import type { NDArray } from "../../array/ndarray.ts";
import { type Process, processOf } from "../../diffusion/process.ts";
import type { Engine } from "../../engine/engine.ts";
import { hasNullClass, type ModelConfig } from "../../models/family.ts";
import type { Model } from "../../models/registry.ts";
import type { RunBlock } from "../../nn/run-block.ts";
import type { Weight } from "../../weights/placed-weights.ts";
import { compileSampler, type ImageSampler, type SamplingSettings } from "../image-sampler.ts";

/** Which model draws, and how. */
export interface SampleRequest extends SamplingSettings {
  readonly engine: Engine;
  readonly model: Model;
  readonly weights: ReadonlyMap<string, Weight>;
  readonly seed: number;
  /** The process the model was trained on; default: that of its family. */
  readonly process?: Process;
  /** Runs only some blocks, for instance. */
  readonly runBlock?: RunBlock;
  /** Images computed together; the last batch is padded, and so is a batch of 1. */
  readonly internalBatch?: number;
}

/** Images `first` … of one run of the sampler. */
export interface SampledBatch {
  readonly first: number;
  /** [rows, C, S, S], about [−1, 1], not clipped. */
  readonly images: NDArray<"float32">;
  /** [rows] */
  readonly labels: Int32Array;
}

/** A batch that is being drawn. */
export interface BatchRange {
  readonly first: number;
  readonly rows: number;
}

export interface BatchSampler extends Pick<ImageSampler, "evaluations" | "settings" | "derived" | "release"> {
  /** Images of a batch. */
  readonly batch: number;
  /**
   * Draws images `first` … `first + labels.length − 1` in order; `onModelEvaluation` is told after each denoiser evaluation, and
   * may throw to stop.
   * @throws InputError for labels the model does not know.
   */
  draw(
    first: number,
    labels: Int32Array,
    onModelEvaluation?: (batch: BatchRange) => void,
  ): AsyncGenerator<SampledBatch>;
}

/**
 * Compiles the sampler of a model. What it draws as image i depends on (seed, i) and its label only, because batches
 * have a fixed number of rows; the last one is padded.
 * @throws InputError for a batch without images, or settings that do not fit the model's process.
 */
export async function batchSampler(request: SampleRequest): Promise<BatchSampler> {
  const { model, internalBatch = 32 } = request;
  if (!(Number.isInteger(internalBatch) && internalBatch >= 1)) {
    throw new InputError(`generate: an internal batch has at least 1 image, got ${internalBatch}`);
  }
  const batch = Math.max(2, internalBatch); // one row takes another kernel and gives other bits
  const process = request.process ?? processOf(model.family.process);
  const sampler = await compileSampler({ ...request, batch }, process, request);
  const { evaluations, settings, derived } = sampler;
  return {
    ...{ batch, evaluations, settings, derived },
    release: () => sampler.release(),
    async *draw(start, labels, onModelEvaluation) {
      requireKnownLabels(labels, model.config);
      for (let at = 0; at < labels.length; at += batch) {
        const own = labels.subarray(at, at + batch);
        const [first, rows] = [start + at, own.length];
        const y = new Int32Array(batch);
        y.set(own);
        const drawn = await sampler.sample({
          first,
          y,
          rows,
          onModelEvaluation: () => onModelEvaluation?.({ first, rows }),
        });
        yield { first, images: drawn.rows(0, rows) as NDArray<"float32">, labels: own };
      }
    },
  };
}

/** @throws InputError naming the first label that is none of the model's. */
export function requireKnownLabels(
  labels: Int32Array,
  { numClasses, nullClass }: Pick<ModelConfig, "numClasses" | "nullClass">,
): void {
  const hasNone = hasNullClass({ nullClass });
  const wrong = labels.find((label) => label < 0 || label > numClasses || (label === numClasses && !hasNone));
  if (wrong === undefined) return;
  const none = hasNone ? ` (${numClasses}: none)` : "";
  throw new InputError(`generate: unknown label ${wrong}; the model knows 0 to ${numClasses - 1}${none}`);
}
