/** Embeddings of position and timestep. */
import { float32, type NDArray } from "../array/ndarray.ts";
import { concat, constant, cos, mul, reshape, silu, sin } from "../graph/build.ts";
import { dimAt, type Tensor } from "../graph/tensor.ts";
import { linear } from "./layers.ts";
import type { Initializer, Params } from "./params.ts";

const FREQUENCY_SIZE = 256;

/**
 * Sine and cosine of position for a side × side grid of tokens in row-major order [1, side², size]: the first half of
 * the channels encodes the column, the second half the row; within a half first sines, then cosines.
 */
export function positionEmbedding(size: number, side: number): NDArray<"float32"> {
  const quarter = size / 4;
  const values = new Float32Array(side * side * size);
  for (let token = 0; token < side * side; token++) {
    for (const [half, position] of [token % side, Math.floor(token / side)].entries()) {
      for (let i = 0; i < quarter; i++) {
        const angle = position / 10000 ** (i / quarter);
        const at = token * size + half * 2 * quarter + i;
        values[at] = Math.sin(angle);
        values[at + quarter] = Math.cos(angle);
      }
    }
  }
  return float32(values, [1, side * side, size]);
}

/** Cosines, then sines of t [N] (fractions allowed) at 128 frequencies: [N, 256]. */
export function timestepFrequencies(t: Tensor): Tensor {
  const half = FREQUENCY_SIZE / 2;
  // Rounded to float32 after each operation, as PyTorch does: t up to 1000 multiplies the difference.
  const frequencies = Float32Array.from({ length: half }, (_, i) =>
    Math.exp(Math.fround(Math.fround(Math.fround(-Math.log(10000)) * i) / half)),
  );
  const angles = mul(reshape(t, [dimAt(t, 0), 1]), constant(float32(frequencies, [1, half])));
  return concat([cos(angles), sin(angles)], 1);
}

/** A timestep's embedding: t [N] → [N, width], by an MLP of two layers `mlp.0`, `mlp.2` on its frequencies. */
export function embedTimestep(p: Params, t: Tensor, width: number): Tensor {
  const normal: Initializer = { kind: "normal", std: 0.02 };
  const hidden = silu(linear(p.at("mlp", 0), timestepFrequencies(t), width, normal));
  return linear(p.at("mlp", 2), hidden, width, normal);
}
