/** Dropout (Srivastava et al. 2014), with masks that follow from a key for each row. N batch. */
import { int32, type NDArray } from "../array/ndarray.ts";
import { fillWords } from "../array/philox.ts";
import { hashPurpose, streamOf } from "../array/random.ts";
import { bernoulli, drawnProbability, mul } from "../graph/build.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Params } from "./params.ts";

/**
 * Zeros with probability `rate`; the other elements of x [N, ...] are divided by the probability that they stay, so that
 * the mean is x. `key` [N, 2] int32 is undefined in evaluation, which leaves x as it is.
 *
 * The mask depends on the row's key and on the full name of the scope. So every place has a mask of its own (`teacher`
 * and `student` scopes too), and a block that is traced twice, on kept and on dropped rows, has one mask. The rate
 * counts as drawn: 1 − rate is rounded to a multiple of 2^-16, and it is this that x is divided by.
 * @throws RangeError unless `rate` is in [0, 1) and leaves something.
 */
export function dropout(p: Params, x: Tensor, rate: number, key: Tensor | undefined): Tensor {
  const stays = drawnProbability(1 - rate);
  if (!(rate >= 0 && stays > 0)) throw new RangeError(`${p.scope}: dropout expects a rate in [0, 1), got ${rate}`);
  if (key === undefined || stays === 1) return x;
  const mask = bernoulli(key, x.shape, stays, hashPurpose(p.scope));
  return mul(x, mul(mask, 1 / stays));
}

/** Keys [N, 2] for a batch: row n depends on the seed, the global step and its example index. */
export function dropoutKeys(seed: number, step: number, indices: ArrayLike<number>): NDArray<"int32"> {
  const keys = new Uint32Array(2 * indices.length);
  for (let row = 0; row < indices.length; row++) {
    const stream = streamOf({ seed, purpose: "dropout", step, index: indices[row]! });
    fillWords(keys.subarray(2 * row, 2 * row + 2), stream, 0);
  }
  return int32(new Int32Array(keys.buffer), [indices.length, 2]);
}
