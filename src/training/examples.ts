/** The random part of a training batch: every draw is a function of (seed, step, example), fed to a pure graph. */
import { createHash } from "node:crypto";
import { float32, NDArray, sizeOf } from "../array/ndarray.ts";
import { normalRows, type RandomKey, uniforms } from "../array/random.ts";
import { exampleIndices } from "../data/batches.ts";
import { type LabeledImages, pixelsToUnit } from "../data/digits.ts";

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
  /** Probability of replacing a label by the null class. */
  readonly labelDrop: number;
}

/** Where the random numbers of one row come from. */
export type RowKey = (purpose: string) => RandomKey;

/** One micro-batch: its examples, and a key for each row's further draws. */
export interface DrawnExamples {
  readonly feeds: {
    readonly xStart: NDArray<"float32">;
    readonly y: NDArray<"int32">;
    /** 1/batchSize; 0 for padding. */
    readonly weight: NDArray<"float32">;
  };
  readonly keys: readonly RowKey[];
}

/** The examples of global step k with their labels, some dropped, in micro-batches. */
export function drawExamples(data: TrainingSet, settings: DrawSettings, step: number): DrawnExamples[] {
  const { seed, batchSize, microBatch } = settings;
  const examples = exampleIndices({ seed, size: data.labels.size, globalStep: step, batchSize });
  const batches: DrawnExamples[] = [];
  for (let first = 0; first < batchSize; first += microBatch) {
    batches.push(drawMicroBatch(data, settings, step, examples, first));
  }
  return batches;
}

function drawMicroBatch(
  data: TrainingSet,
  { seed, batchSize, microBatch: n, labelDrop }: DrawSettings,
  step: number,
  examples: Int32Array,
  first: number,
): DrawnExamples {
  const imageShape = data.images.shape.slice(1);
  const imageSize = sizeOf(imageShape);
  const xStart = new Float32Array(n * imageSize);
  const y = new Int32Array(n);
  const weight = new Float32Array(n);
  const keys = Array.from({ length: n }, (_, row): RowKey => {
    const index = Math.min(first + row, batchSize - 1);
    return (purpose) => ({ seed, purpose, step, index });
  });
  keys.forEach((key, row) => {
    const example = examples[key("").index]!;
    xStart.set(data.images.data.subarray(example * imageSize, (example + 1) * imageSize), row * imageSize);
    const isDropped = labelDrop > 0 && uniforms(key("label drop"), 1)[0]! < labelDrop;
    y[row] = isDropped ? data.numClasses : data.labels.data[example]!;
    weight[row] = first + row < batchSize ? 1 / batchSize : 0;
  });
  return {
    feeds: { xStart: float32(xStart, [n, ...imageShape]), y: new NDArray("int32", [n], y), weight: float32(weight) },
    keys,
  };
}

/** The noise of each row of a tensor of this shape. */
export const drawNoise = (keys: readonly RowKey[], shape: readonly number[]): NDArray<"float32"> =>
  normalRows(
    shape,
    keys.map((key) => key("noise")),
  );
