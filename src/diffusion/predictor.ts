/** What diffusion asks of a model, and classifier-free guidance of it (Ho and Salimans 2022, eq. 6). N batch. */
import { int32 } from "../array/ndarray.ts";
import { add, concat, constant, mul, slice, sub } from "../graph/build.ts";
import { fixedDim, type Tensor } from "../graph/tensor.ts";

/**
 * x [N, C, H, W], y [N] int32 labels, t [N] as the process counts time: in timesteps of the full schedule (fractions
 * allowed) for Gaussian diffusion, in [0, 1] for flows.
 */
export interface PredictorInputs {
  readonly x: Tensor;
  readonly t: Tensor;
  readonly y: Tensor;
}

/**
 * The prediction. Of Gaussian diffusion: noise [N, C, H, W], or noise and variance fractions [N, 2C, H, W]. Of a flow:
 * its velocity, noise or score [N, C, H, W].
 */
export type Predictor = (inputs: PredictorInputs) => Tensor;

/**
 * uncond + scale · (cond − uncond) in the first `channels` of axis 1; the rest is the labelled prediction's. A scale of 1
 * is no guidance; the original DiT guides 3 of 4 channels.
 */
export function guidedPrediction(cond: Tensor, uncond: Tensor, scale: number | Tensor, channels: number): Tensor {
  const [labelled, unlabelled] = [slice(cond, 1, 0, channels), slice(uncond, 1, 0, channels)];
  const mixed = add(unlabelled, mul(sub(labelled, unlabelled), scale));
  const all = fixedDim(cond, 1);
  return channels === all ? mixed : concat([mixed, slice(cond, 1, channels, all)], 1);
}

/** A model that guides itself: each row runs with its label and with `nullLabel`. A scale of 1 costs nothing. */
export function withGuidance(model: Predictor, scale: number, channels: number, nullLabel: number): Predictor {
  if (scale === 1) return model;
  return ({ x, t, y }) => {
    const rows = fixedDim(x, 0);
    const none = constant(int32(new Int32Array(rows).fill(nullLabel)));
    const out = model({ x: concat([x, x], 0), t: concat([t, t], 0), y: concat([y, none], 0) });
    return guidedPrediction(slice(out, 0, 0, rows), slice(out, 0, rows, 2 * rows), scale, channels);
  };
}
