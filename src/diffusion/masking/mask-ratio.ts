/** How many tokens of an image are masked in training: one ratio for each global step. */
import { type RandomKey, uniforms } from "../../array/random.ts";

/** A normal distribution around `mean`, cut to [min, mean]. */
export interface MaskRatio {
  readonly mean: number;
  readonly deviation: number;
  readonly min: number;
}

/** Li et al. 2024, section 4.3. */
export const maskRatioDefaults: MaskRatio = { mean: 1, deviation: 0.25, min: 0.7 };

/** The ratio below which a share u in [0, 1) of all ratios lies. */
export function maskRatioAt(u: number, { mean, deviation, min }: MaskRatio = maskRatioDefaults): number {
  const lowest = normalCdf((min - mean) / deviation);
  const z = quantileBelowMean(lowest + u * (0.5 - lowest));
  return Math.max(min, mean + deviation * z);
}

/** The ratio of a global step. */
export function drawMaskRatio({ seed, step }: Pick<RandomKey, "seed" | "step">, settings?: MaskRatio): number {
  return maskRatioAt(uniforms({ seed, purpose: "mask ratio", step, index: 0 }, 1)[0]!, settings);
}

/** Masked tokens of `tokens` at a ratio: rounded up, so at least one. */
export const maskedCount = (tokens: number, ratio: number): number => Math.min(tokens, Math.ceil(tokens * ratio));

const density = (z: number): number => Math.exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI);

/** Φ(z) = ½ + φ(z) · (z + z³/3 + z⁵/15 + …) (Marsaglia 2004, Evaluating the normal distribution). */
function normalCdf(z: number): number {
  let [term, total] = [z, 0];
  for (let odd = 3; total + term !== total; odd += 2) {
    total += term;
    term *= (z * z) / odd;
  }
  return 0.5 + total * density(z);
}

/** z ≤ 0 with Φ(z) = share, by Newton's method: Φ is convex there, so the steps from 0 all go down. */
function quantileBelowMean(share: number): number {
  let z = 0;
  for (let i = 0; i < 100; i++) {
    const step = (normalCdf(z) - share) / density(z);
    z -= step;
    if (Math.abs(step) < 1e-15) break;
  }
  return Math.min(z, 0);
}
