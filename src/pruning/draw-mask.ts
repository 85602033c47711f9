/**
 * Masks from gates: one categorical variable per N:M group over the group's keep-patterns (TinyFusion, arXiv 2412.01199,
 * section 3.2). The mask distribution is a product over the K groups, p(m) = p(m₁) · … · p(m_K).
 */
import { argmax, sumOf } from "../array/reduce.ts";
import { type Group, keepPatterns } from "./groups.ts";

/** A group, its patterns, and where their gates begin in the vector of all gates. A gate is a pattern's logit / scale. */
export interface GateGroup extends Group {
  /** Every way to keep N of M blocks, as positions within the group. */
  readonly patterns: readonly (readonly number[])[];
  readonly offset: number;
}

/** Current values of the temperature schedule: a sample is softmax((scale · gate + noise) / tau). */
export interface Temperature {
  readonly tau: number;
  readonly scale: number;
}

/** One sample of every group. */
export interface MaskDraw {
  /** Soft probabilities y of all patterns [gates]. */
  readonly soft: Float64Array;
  /** The pattern chosen in each group. */
  readonly chosen: readonly number[];
  /** 1 for kept, 0 for dropped blocks [depth]. */
  readonly mask: Uint8Array;
}

/**
 * Samples one row's mask: y = softmax((scale · gate + g) / τ) with Gumbel noise g, and m = one-hot(argmax y)ᵀ · patterns
 * (the paper, eq. 5 and 6; Jang et al. 2017). The mask is hard; `addGateGradient` differentiates the soft y in its
 * place (straight-through). In PyTorch: `F.gumbel_softmax(scale * gate, tau, hard=True) @ patterns` for each group.
 * `gates` and `gumbel` are [gates].
 */
export function drawMask(
  groups: readonly GateGroup[],
  gates: ArrayLike<number>,
  gumbel: ArrayLike<number>,
  { tau, scale }: Temperature,
): MaskDraw {
  const soft = new Float64Array(gateCount(groups));
  const mask = new Uint8Array(depthOf(groups));
  const chosen = groups.map(({ offset, patterns, start }) => {
    const perturbed = patterns.map((_, i) => (gates[offset + i]! * scale + gumbel[offset + i]!) / tau);
    soft.set(softmax(perturbed), offset);
    const best = argmax(perturbed);
    for (const position of patterns[best]!) mask[start + position] = 1;
    return best;
  });
  return { soft, chosen, mask };
}

/** The most likely pattern of every group, without noise. */
export interface Decision {
  readonly kept: readonly number[];
  /** Probability of the chosen pattern in each group. */
  readonly confidence: readonly number[];
  /** Probability of each block being kept [depth]. */
  readonly probabilities: readonly number[];
}

/** The decision of gates [gates]: the pattern of the largest softmax(scale · gate) in each group. */
export function decide(groups: readonly GateGroup[], gates: ArrayLike<number>, scale: number): Decision {
  const kept: number[] = [];
  const confidence: number[] = [];
  const probabilities: number[] = [];
  for (const { offset, patterns, start, size } of groups) {
    const p = softmax(patterns.map((_, i) => gates[offset + i]! * scale));
    const best = argmax(p);
    kept.push(...patterns[best]!.map((position) => start + position));
    confidence.push(p[best]!);
    for (let position = 0; position < size; position++) {
      probabilities.push(sumOf(patterns.map((pattern, i) => (pattern.includes(position) ? p[i]! : 0))));
    }
  }
  return { kept, confidence, probabilities };
}

/** The groups with their patterns; the gates of all groups are one vector. */
export function gateGroups(groups: readonly Group[]): GateGroup[] {
  let offset = 0;
  return groups.map((group) => {
    const patterns = keepPatterns(group.keep, group.size);
    offset += patterns.length;
    return { ...group, patterns, offset: offset - patterns.length };
  });
}

/** Number of gates in all groups. */
export const gateCount = (groups: readonly GateGroup[]): number => sumOf(groups.map(({ patterns }) => patterns.length));

/** Number of blocks in all groups. */
export const depthOf = (groups: readonly Group[]): number => sumOf(groups.map(({ size }) => size));

function softmax(logits: readonly number[]): number[] {
  const top = Math.max(...logits);
  const exps = logits.map((x) => Math.exp(x - top));
  const total = sumOf(exps);
  return exps.map((x) => x / total);
}
