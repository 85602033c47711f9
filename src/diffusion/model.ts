/** What diffusion asks of a model: a function from noised images, timesteps and labels to a prediction. */
import type { Tensor } from "../graph/tensor.ts";

/** x [N, C, H, W], t [N] in timesteps of the full schedule (fractions allowed), y [N] int32 labels. */
export interface ModelInputs {
  readonly x: Tensor;
  readonly t: Tensor;
  readonly y: Tensor;
}

/** Predicted noise [N, C, H, W], or noise and variance fractions [N, 2C, H, W]. */
export type Model = (inputs: ModelInputs) => Tensor;
