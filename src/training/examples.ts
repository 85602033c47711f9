/** The random part of a training batch: every draw is a function of (seed, step, example), fed to a pure graph. */
import { createHash } from "node:crypto";
import { float32, NDArray, sizeOf } from "../array/ndarray.ts";
import { integers, normalsInto, uniforms } from "../array/random.ts";
import { exampleIndices } from "../data/batches.ts";
import { type LabeledImages, pixelsToUnit } from "../data/digits.ts";
import type { NamedArrays } from "../onnx/session.ts";

/** Images in [−1, 1] and their classes. */
export interface TrainingSet {
  readonly images: NDArray<"float32">; // [N, C, H, W]
  readonly labels: NDArray<"int32">; // [N]
  readonly numClasses: number;
}

/** Grey pictures in bytes [N, H, W] as one-channel images. */
export function trainingSet({ images, labels }: LabeledImages, numClasses: number): TrainingSet {
  const [n, h, w] = images.shape as readonly [number, number, number];
  return { images: pixelsToUnit(images).reshape([n, 1, h, w]), labels, numClasses };
}

/** SHA-256 of all images and labels: a run that is resumed must find the same ones. */
export function dataSha256({ images, labels }: TrainingSet): string {
  return createHash("sha256").update(images.data).update(labels.data).digest("hex");
}

export interface DrawSettings {
  readonly seed: number;
  readonly batchSize: number;
  /** Rows of one run of the graph; the last micro-batch is padded with rows of weight 0. */
  readonly microBatch: number;
  /** Steps of the diffusion process. */
  readonly timesteps: number;
  /** Probability of replacing a label by the null class. */
  readonly labelDrop: number;
}

/** The micro-batches of global step k: feeds `xStart`, `noise`, `index`, `y` and `weight`. */
export function drawBatch(data: TrainingSet, settings: DrawSettings, step: number): NamedArrays[] {
  const { seed, batchSize, microBatch } = settings;
  const examples = exampleIndices({ seed, size: data.labels.size, globalStep: step, batchSize });
  const batches: NamedArrays[] = [];
  for (let first = 0; first < batchSize; first += microBatch) {
    batches.push(drawMicroBatch(data, settings, step, examples, first));
  }
  return batches;
}

function drawMicroBatch(
  data: TrainingSet,
  { seed, batchSize, microBatch: n, timesteps, labelDrop }: DrawSettings,
  step: number,
  examples: Int32Array,
  first: number,
): NamedArrays {
  const imageShape = data.images.shape.slice(1);
  const imageSize = sizeOf(imageShape);
  const xStart = new Float32Array(n * imageSize);
  const noise = new Float32Array(n * imageSize);
  const index = new Int32Array(n);
  const y = new Int32Array(n);
  const weight = new Float32Array(n);
  for (let row = 0; row < n; row++) {
    const at = Math.min(first + row, batchSize - 1);
    const example = examples[at]!;
    const key = (purpose: string) => ({ seed, purpose, step, index: at });
    xStart.set(data.images.data.subarray(example * imageSize, (example + 1) * imageSize), row * imageSize);
    normalsInto(noise.subarray(row * imageSize, (row + 1) * imageSize), key("noise"));
    index[row] = integers(key("timestep"), 1, timesteps)[0]!;
    const dropped = labelDrop > 0 && uniforms(key("label drop"), 1)[0]! < labelDrop;
    y[row] = dropped ? data.numClasses : data.labels.data[example]!;
    weight[row] = first + row < batchSize ? 1 / batchSize : 0;
  }
  const images = (values: Float32Array) => float32(values, [n, ...imageShape]);
  return {
    xStart: images(xStart),
    noise: images(noise),
    index: new NDArray("int32", [n], index),
    y: new NDArray("int32", [n], y),
    weight: float32(weight),
  };
}
