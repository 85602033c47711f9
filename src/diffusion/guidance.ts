/** Classifier-free guidance (Ho and Salimans 2022, eq. 6). N rows: the labelled half, then the unlabelled half. */
import { add, concat, mul, slice, sub } from "../graph/build.ts";
import { fixedDim, type Tensor } from "../graph/tensor.ts";
import type { Model, ModelInputs } from "./model.ts";

export interface Guidance {
  /** 1 is no guidance. */
  readonly scale: number | Tensor;
  /** How many leading channels of the prediction are guided; the original DiT guides 3 of 4. */
  readonly channels: number;
}

/**
 * Runs the first `half` images under all 2·half labels and timesteps and guides both halves alike:
 * uncond + scale · (cond − uncond) in the guided channels, each half's own prediction in the others.
 */
export function guided(
  model: Model,
  { x, t, y, scale, channels, half }: ModelInputs & Guidance & { half: number },
): Tensor {
  const images = slice(x, 0, 0, half);
  const out = model({ x: concat([images, images], 0), t, y });
  const guide = slice(out, 1, 0, channels);
  const cond = slice(guide, 0, 0, half);
  const uncond = slice(guide, 0, half, 2 * half);
  const mixed = add(uncond, mul(sub(cond, uncond), scale));
  const rest = fixedDim(out, 1);
  const both = concat([mixed, mixed], 0);
  return channels === rest ? both : concat([both, slice(out, 1, channels, rest)], 1);
}
