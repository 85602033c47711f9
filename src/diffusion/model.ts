/** What diffusion asks of a model: a function from noised images, timesteps and labels to a prediction. */
import type { Tensor } from "../graph/tensor.ts";

/**
 * x [N, C, H, W], y [N] int32 labels, t [N] as the process counts time: in timesteps of the full schedule (fractions
 * allowed) for Gaussian diffusion, in [0, 1] for flows.
 */
export interface ModelInputs {
  readonly x: Tensor;
  readonly t: Tensor;
  readonly y: Tensor;
}

/**
 * The prediction. Of Gaussian diffusion: noise [N, C, H, W], or noise and variance fractions [N, 2C, H, W]. Of a flow:
 * its velocity, noise or score [N, C, H, W].
 */
export type Model = (inputs: ModelInputs) => Tensor;
