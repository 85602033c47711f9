/** The normal distribution of latents that an encoder gives for each image, and the scale that models see latents on. */
import { NDArray, sizeOf } from "../../array/ndarray.ts";
import { normalRows, type RandomKey } from "../../array/random.ts";
import type { AutoencoderConfig } from "../../models/autoencoder/config.ts";

/** Independent normal distributions, one for each element: not scaled, both [N, Z, H/f, W/f]. */
export interface Posterior {
  readonly mean: NDArray<"float32">;
  readonly std: NDArray<"float32">;
}

/** Logarithms of variances are cut to this range, as in the original. */
const [LOWEST, HIGHEST] = [-30, 20];

/** From mean and log variance, one behind the other: [N, 2·Z, h, w]. */
export function posteriorOf(moments: NDArray<"float32">): Posterior {
  const [n, twice, h, w] = moments.shape as readonly [number, number, number, number];
  const shape = [n, twice / 2, h, w];
  const size = sizeOf(shape.slice(1));
  const [mean, std] = [new Float32Array(n * size), new Float32Array(n * size)];
  for (let row = 0; row < n; row++) {
    const both = moments.data.subarray(2 * row * size, 2 * (row + 1) * size);
    mean.set(both.subarray(0, size), row * size);
    for (let i = 0; i < size; i++) {
      std[row * size + i] = Math.exp(0.5 * Math.min(HIGHEST, Math.max(LOWEST, both[size + i]!)));
    }
  }
  return { mean: new NDArray("float32", shape, mean), std: new NDArray("float32", shape, std) };
}

/**
 * A draw from each row's distribution, on the scale of models: row n uses the noise of `keys[n]`, so that an image's
 * draw depends on its key only.
 * @throws RangeError unless there is a key for each row.
 */
export function drawLatents(
  { mean, std }: Posterior,
  config: AutoencoderConfig,
  keys: readonly RandomKey[],
): NDArray<"float32"> {
  if (keys.length !== mean.shape[0])
    throw new RangeError(`${mean.shape[0]} posteriors need as many keys, got ${keys.length}`);
  const z = normalRows(mean.shape, keys);
  for (let i = 0; i < z.data.length; i++) z.data[i] = mean.data[i]! + std.data[i]! * z.data[i]!;
  return scaledLatents(z, config);
}

/** Latents as a model of them sees them: (z − shift) · scale. */
export function scaledLatents(z: NDArray<"float32">, { scalingFactor, shiftFactor }: AutoencoderConfig) {
  return mapped(z, (value) => (value - shiftFactor) * scalingFactor);
}

/** Latents as the decoder takes them: undoes `scaledLatents`. */
export function unscaledLatents(z: NDArray<"float32">, { scalingFactor, shiftFactor }: AutoencoderConfig) {
  return mapped(z, (value) => value / scalingFactor + shiftFactor);
}

function mapped(z: NDArray<"float32">, change: (value: number) => number): NDArray<"float32"> {
  return new NDArray("float32", z.shape, z.data.map(change));
}
