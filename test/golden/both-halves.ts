/** The original's guided forward pass, which carries both halves of the batch: the labelled rows, then the unlabelled ones. */
import { guidedPrediction, type Predictor, type PredictorInputs } from "../../src/diffusion/predictor.ts";
import { concat, slice } from "../../src/graph/build.ts";
import { fixedDim, type Tensor } from "../../src/graph/tensor.ts";

export interface BothHalves extends PredictorInputs {
  readonly scale: number | Tensor;
  readonly channels: number;
  /** Rows of each half. */
  readonly half: number;
}

/** The first `half` images under all labels and timesteps: guided alike in the first channels, each half's own in the others. */
export function guided(model: Predictor, { x, t, y, scale, channels, half }: BothHalves): Tensor {
  const images = slice(x, 0, 0, half);
  const out = model({ x: concat([images, images], 0), t, y });
  const [cond, uncond] = [slice(out, 0, 0, half), slice(out, 0, half, 2 * half)];
  const labelled = guidedPrediction(cond, uncond, scale, channels);
  const own = slice(uncond, 1, channels, fixedDim(out, 1));
  const unlabelled = concat([slice(labelled, 1, 0, channels), own], 1);
  return concat([labelled, channels === fixedDim(out, 1) ? labelled : unlabelled], 0);
}
