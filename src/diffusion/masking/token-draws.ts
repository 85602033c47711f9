/** The random part of a training batch of masked tokens. N images, L tokens of C numbers, M = copies · N · masked tokens. */
import { float32, int32, type NDArray } from "../../array/ndarray.ts";
import { integers, normals, type RandomKey } from "../../array/random.ts";
import { type TokenOrder, tokenRows, visiblePlaces } from "./places.ts";

export interface TokenDrawSettings {
  /** Masked tokens of each image. */
  readonly masked: number;
  readonly bufferSize: number;
  /** C */
  readonly tokenSize: number;
  /** How often each masked token is noised; the original takes 4. */
  readonly copies: number;
  /** Steps of the schedule. */
  readonly steps: number;
}

/** What a graph with `TokenBatch` and the encoder is fed. */
export interface TokenDraw {
  readonly visible: NDArray<"int32">; // [N, B + L − masked]
  readonly token: NDArray<"int32">; // [M]
  readonly sample: NDArray<"int32">; // [M]
  readonly index: NDArray<"int32">; // [M]
  readonly noise: NDArray<"float32">; // [M, C]
}

/**
 * Timesteps and noise of all masked tokens, copy after copy of the whole batch. An image's numbers depend on its keys
 * alone, and a token's on its place and copy: not on the rest of the batch nor on how much is masked.
 */
export function drawTokens(
  orders: readonly TokenOrder[],
  keys: readonly ((purpose: string) => RandomKey)[],
  { masked, bufferSize, tokenSize, copies, steps }: TokenDrawSettings,
): TokenDraw {
  const length = orders[0]!.length;
  const once = tokenRows(orders, 0, masked);
  const timesteps = keys.map((key) => integers(key("timestep"), copies * length, steps));
  const noises = keys.map((key) => normals(key("noise"), copies * length * tokenSize));
  const total = copies * once.length;
  const [token, sample, index] = [new Int32Array(total), new Int32Array(total), new Int32Array(total)];
  const noise = new Float32Array(total * tokenSize);
  for (let m = 0; m < total; m++) {
    const row = once[m % once.length]!;
    const image = Math.floor(row / length);
    const drawn = Math.floor(m / once.length) * length + (row % length);
    [token[m], sample[m], index[m]] = [row, image, timesteps[image]![drawn]!];
    noise.set(noises[image]!.subarray(drawn * tokenSize, (drawn + 1) * tokenSize), m * tokenSize);
  }
  return {
    visible: visiblePlaces(orders, masked, bufferSize),
    ...{ token: int32(token), sample: int32(sample), index: int32(index) },
    noise: float32(noise, [total, tokenSize]),
  };
}
