/** Which examples a step sees: a shuffled pass over the data per epoch, known from seed and position alone. */

import { permutation } from "../array/random.ts";

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
 * The examples of one global batch, [batchSize]: entry i stands at position p = globalStep · batchSize + i
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
