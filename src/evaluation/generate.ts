/** Images from a model. The content of image i depends on (seed, i) and its label only. B internal batch, C channels, S side. */
import { InputError } from "../array/input-error.ts";
import { float32, type NDArray, sizeOf } from "../array/ndarray.ts";
import { type Process, processOf } from "../diffusion/process.ts";
import type { Model } from "../models/registry.ts";
import type { RunBlock } from "../nn/run-block.ts";
import type { Engine } from "../onnx/session.ts";
import type { Weight } from "../weights/placed-weights.ts";
import { compileSampler, type ImageSampler, type SamplingSettings } from "./samplers/image-sampler.ts";

export interface GenerateRequest extends SamplingSettings {
  readonly engine: Engine;
  readonly model: Model;
  readonly weights: ReadonlyMap<string, Weight>;
  /** One class for each image (numClasses: no class), or how many images: their classes are then 0, 1, … in turn. */
  readonly labels: Int32Array | number;
  readonly seed: number;
  /** The process the model was trained on; default: that of its family. */
  readonly process?: Process;
  /** Runs only some blocks, for instance. */
  readonly runBlock?: RunBlock;
  /** Images computed together, at least 2; the last batch is padded. */
  readonly internalBatch?: number;
  /** Told after every denoiser evaluation. */
  readonly onProgress?: (progress: GenerateProgress) => void;
  readonly signal?: AbortSignal;
}

export interface GenerateProgress {
  /** Denoiser evaluations made, and those there will be, if that is known. */
  readonly evaluations: number;
  readonly of: number | undefined;
  /** Finished images. */
  readonly images: number;
}

export interface Generated {
  /** [N, C, S, S], about [−1, 1], not clipped. */
  readonly images: NDArray<"float32">;
  /** [N] */
  readonly labels: Int32Array;
  /** Without building the session. */
  readonly seconds: number;
  readonly secondsPerImage: number;
  /** Every setting of the sampler, and what follows from them: the timesteps it visits, for instance. */
  readonly settings: ImageSampler["settings"];
  readonly derived: ImageSampler["derived"];
  /** Denoiser evaluations of one internal batch per second (a guided evaluation counts once). */
  readonly iterationsPerSecond: number;
}

/**
 * Samples images in fixed batches, so that another number of images gives the same ones.
 * @throws InputError for labels the model does not know, no images, or steps that do not exist; the signal's reason if aborted.
 */
export async function generate(request: GenerateRequest): Promise<Generated> {
  const { model, onProgress, signal, internalBatch = 32 } = request;
  const labels = labelsOf(request);
  if (!(Number.isInteger(internalBatch) && internalBatch >= 2)) {
    throw new InputError(`generate: an internal batch has at least 2 images, got ${internalBatch}`);
  }
  const imageShape = [model.config.inChannels, model.config.inputSize, model.config.inputSize];
  const images = new Float32Array(labels.length * sizeOf(imageShape));
  const process = request.process ?? processOf(model.family.process);
  const sampler = await compileSampler({ ...request, batch: internalBatch }, process, request);
  const { evaluations: each } = sampler;
  const of = each === undefined ? undefined : Math.ceil(labels.length / internalBatch) * each;
  let evaluations = 0;
  const started = performance.now();
  try {
    for (let first = 0; first < labels.length; first += internalBatch) {
      const y = labels.subarray(first, first + internalBatch);
      const evaluated = () => {
        signal?.throwIfAborted();
        evaluations++;
        const isLast = each !== undefined && evaluations % each === 0;
        onProgress?.({ evaluations, of, images: isLast ? first + y.length : first });
      };
      const batch = await sampler.sample({ first, y: padded(y, internalBatch), rows: y.length, evaluated });
      if (each === undefined) onProgress?.({ evaluations, of, images: first + y.length });
      images.set(batch.rows(0, y.length).data as Float32Array, first * sizeOf(imageShape));
    }
  } finally {
    await sampler.release();
  }
  const seconds = (performance.now() - started) / 1000;
  return {
    images: float32(images, [labels.length, ...imageShape]),
    labels,
    settings: sampler.settings,
    derived: sampler.derived,
    seconds,
    secondsPerImage: seconds / labels.length,
    iterationsPerSecond: evaluations / seconds,
  };
}

function padded(y: Int32Array, rows: number): Int32Array {
  const whole = new Int32Array(rows);
  whole.set(y);
  return whole;
}

/** The classes 0 … classes − 1 in turn. */
export function balancedLabels(count: number, classes: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => i % classes);
}

function labelsOf({ labels, model }: GenerateRequest): Int32Array {
  const { numClasses } = model.config;
  const count = typeof labels === "number" ? labels : labels.length;
  if (!(Number.isInteger(count) && count > 0))
    throw new InputError(`generate: expected at least 1 image, got ${count}`);
  if (typeof labels === "number") return balancedLabels(count, numClasses);
  const wrong = labels.find((label) => label < 0 || label > numClasses);
  if (wrong !== undefined) {
    throw new InputError(
      `generate: unknown label ${wrong}; the model knows 0 to ${numClasses - 1} (${numClasses}: none)`,
    );
  }
  return labels;
}
