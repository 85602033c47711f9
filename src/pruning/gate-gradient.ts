/** The gradient of the gates: straight-through, from ∂L/∂mask of the hard mask to ∂L/∂gate of the soft probabilities. */
import { sumOf } from "../array/reduce.ts";
import { depthOf, type GateGroup, type MaskDraw, type Temperature } from "./draw-mask.ts";

/**
 * Adds one row's ∂L/∂gates to `gradient` [gates], from ∂L/∂mask [depth] (TinyFusion, section 3.2, "Differentiable
 * Sampling"). Straight-through (Bengio et al. 2013): the forward pass used the hard mask, this is the derivative of the
 * soft one, m = yᵀ · patterns with y = softmax((scale · gate + g) / τ):
 *
 *     ∂L/∂y_j = Σ_{i in pattern j} ∂L/∂m_i
 *     ∂L/∂gate_j = scale / τ · y_j · (∂L/∂y_j − Σ_k y_k · ∂L/∂y_k)
 */
export function addGateGradient(
  groups: readonly GateGroup[],
  gradient: Float32Array | Float64Array,
  { soft }: MaskDraw,
  maskGradient: ArrayLike<number>,
  { tau, scale }: Temperature,
): void {
  for (const { offset, patterns, start } of groups) {
    const dy = patterns.map((kept) => sumOf(kept.map((position) => maskGradient[start + position]!)));
    const mean = sumOf(dy.map((d, j) => d * soft[offset + j]!));
    dy.forEach((d, j) => {
      gradient[offset + j]! += (scale / tau) * soft[offset + j]! * (d - mean);
    });
  }
}

/**
 * The norm of ∂m_i/∂gates of the soft mask, for each block i of one row [depth]: how far ∂L/∂m_i moves the gates. For
 * 1:2 it is y(1 − y) up to a constant; it vanishes once probabilities are one-hot.
 */
export function gateSensitivity(
  groups: readonly GateGroup[],
  { soft }: MaskDraw,
  { tau, scale }: Temperature,
): Float64Array {
  const norms = new Float64Array(depthOf(groups));
  for (const { offset, patterns, start, size } of groups) {
    for (let position = 0; position < size; position++) {
      const keeps = patterns.map((kept) => (kept.includes(position) ? 1 : 0));
      const mean = sumOf(keeps.map((keep, j) => keep * soft[offset + j]!));
      const squares = keeps.map((keep, j) => (soft[offset + j]! * (keep - mean)) ** 2);
      norms[start + position] = (scale / tau) * Math.sqrt(sumOf(squares));
    }
  }
  return norms;
}
