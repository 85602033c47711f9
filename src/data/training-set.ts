/** Labelled examples as training sees them: any number, read when a batch needs them. */
import { createHash } from "node:crypto";
import { float32, type NDArray, sizeOf } from "../array/ndarray.ts";
import { permutation, type RandomKey } from "../array/random.ts";
import { type LabeledImages, pixelsToUnit } from "./digits.ts";

/** Where the random numbers of one row come from. */
export type RowKey = (purpose: string) => RandomKey;

/** Of row `index` of the global batch of a step. */
export const rowKey =
  (seed: number, step: number, index: number): RowKey =>
  (purpose) => ({ seed, purpose, step, index });

/** Images or latents with one class each. */
export interface TrainingSet {
  /** Number of examples. */
  readonly size: number;
  readonly numClasses: number;
  /** By label, where classes have names. */
  readonly classNames?: readonly string[];
  readonly shape: readonly [channels: number, height: number, width: number];
  /** Identifies the data: a run that is resumed must find the same. */
  readonly sha256: string;
  /**
   * These examples, [n, C, H, W], and their labels [n]. `keys[i]` is where the draws of row i come from (a fresh
   * posterior sample, a flip). A row does not depend on the others of its call.
   * @throws InputError if the data can no longer be read.
   */
  read(examples: Int32Array, keys: readonly RowKey[]): Promise<ReadExamples>;
  release?(): Promise<void>;
}

export interface ReadExamples {
  readonly images: NDArray<"float32">;
  readonly labels: Int32Array;
}

/** Grey images in bytes [N, H, W] as one-channel images in [−1, 1], held in memory. */
export function trainingSet({ images, labels }: LabeledImages, numClasses: number): TrainingSet {
  const [n, height, width] = images.shape as readonly [number, number, number];
  return imagesInMemory(pixelsToUnit(images).reshape([n, 1, height, width]), labels, numClasses);
}

/**
 * Images [N, C, H, W] and labels [N] that are in memory already.
 * @throws RangeError for other shapes, no images, or a label that is none of the classes.
 */
export function imagesInMemory(images: NDArray<"float32">, labels: NDArray<"int32">, numClasses: number): TrainingSet {
  requireLabelled(images, labels, numClasses);
  const shape = images.shape.slice(1) as [number, number, number];
  const size = sizeOf(shape);
  return {
    size: labels.size,
    numClasses,
    shape,
    sha256: createHash("sha256").update(images.data).update(labels.data).digest("hex"),
    async read(examples) {
      const values = new Float32Array(examples.length * size);
      examples.forEach((example, row) => {
        values.set(images.data.subarray(example * size, (example + 1) * size), row * size);
      });
      const read = Int32Array.from(examples, (example) => labels.data[example]!);
      return { images: float32(values, [examples.length, ...shape]), labels: read };
    },
  };
}

function requireLabelled({ shape }: NDArray, labels: NDArray<"int32">, numClasses: number): void {
  if (shape.length !== 4 || shape[0] === 0 || labels.shape.length !== 1 || labels.size !== shape[0]) {
    throw new RangeError(
      `training set: expected images [N, C, H, W] and labels [N], got [${shape}] and [${labels.shape}]`,
    );
  }
  const unknown = labels.data.find((label) => !(label >= 0 && label < numClasses));
  if (unknown !== undefined) {
    throw new RangeError(`training set: a label is ${unknown}, expected 0 to ${numClasses - 1}`);
  }
}

/** Names one global batch. */
export interface BatchPosition {
  readonly seed: number;
  /** Number of examples in the data set. */
  readonly size: number;
  /** Optimizer step, from 0. */
  readonly globalStep: number;
  /** Examples of one optimizer step, over all micro-batches and workers. */
  readonly batchSize: number;
}

/**
 * The examples of one global batch, [batchSize]: entry i is at position p = globalStep · batchSize + i
 * of an endless order in which every epoch ⌊p / size⌋ is its own permutation of 0 … size − 1.
 * A batch may span epochs. Micro-batches and workers take subarrays.
 * @throws RangeError unless size and batchSize are positive and globalStep is not negative, all integers.
 */
export function exampleIndices(at: BatchPosition): Int32Array<ArrayBuffer> {
  const { seed, size, globalStep, batchSize } = at;
  const first = globalStep * batchSize;
  const whole = [size, globalStep, batchSize, first + batchSize].every(Number.isSafeInteger);
  if (!whole || size < 1 || batchSize < 1 || globalStep < 0) {
    throw new RangeError(
      `example order: size ${size}, step ${globalStep}, batch ${batchSize} are not positive integers`,
    );
  }
  const indices = new Int32Array(batchSize);
  for (let done = 0; done < batchSize; ) {
    const epoch = Math.floor((first + done) / size);
    const start = first + done - epoch * size;
    const piece = epochOrder(seed, size, epoch).subarray(start, start + batchSize - done);
    indices.set(piece, done);
    done += piece.length;
  }
  return indices;
}

let latest: { seed: number; size: number; epoch: number; order: Int32Array } | undefined;

/** The order of one epoch, [size]; the latest one is remembered. */
function epochOrder(seed: number, size: number, epoch: number): Int32Array {
  if (latest?.seed !== seed || latest.size !== size || latest.epoch !== epoch) {
    const order = permutation({ seed, purpose: "example order", step: epoch, index: 0 }, size);
    latest = { seed, size, epoch, order };
  }
  return latest.order;
}
