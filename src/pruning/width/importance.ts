/**
 * How important heads and MLP channels are: Diff-Pruning's score (Fang, Ma and Wang 2023, arXiv 2305.10924, section 3.3)
 * and what it is compared with there. The ranking is that of the original's code: weights count, biases do not.
 */
import { InputError } from "../../array/input-error.ts";
import type { NDArray } from "../../array/ndarray.ts";
import { uniforms } from "../../array/random.ts";
import type { ChannelGroups } from "./channel-groups.ts";

/** A score of a group from its weights w and the gradient g of the loss, summed over timesteps. */
interface Rule {
  /** Whose gradients are summed: the informative timesteps, all of them, or none. */
  readonly gradient: "informative" | "every" | "none";
  /** What one weight adds. */
  term(w: number, g: number): number;
  total(sum: number): number;
}

const rules = {
  // I(θ_i) = Σ_k |θ_ik · Σ_{t | L_t / L_max > T} ∂L_t/∂θ_ik|: each weight's own disturbance counts.
  "diff-pruning": { gradient: "informative", term: (w, g) => Math.abs(w * g), total: (sum) => sum },
  // |Σ_k θ_ik · Σ_t ∂L_t/∂θ_ik|: the loss as one Taylor polynomial of all weights of the group.
  taylor: { gradient: "every", term: (w, g) => w * g, total: Math.abs },
  magnitude: { gradient: "none", term: (w) => w * w, total: (sum) => sum },
  random: { gradient: "none", term: () => 0, total: () => 0 },
} as const satisfies Record<string, Rule>;

export type WidthCriterion = keyof typeof rules;

export const widthCriteria = Object.keys(rules) as [WidthCriterion, ...WidthCriterion[]];

/** Which timesteps' gradients a criterion needs. */
export const gradientsOf = (criterion: WidthCriterion): Rule["gradient"] => rules[criterion].gradient;

/** The values of weights and of the gradient, by name. */
export interface Values {
  readonly weights: ReadonlyMap<string, NDArray<"float32">>;
  /** Empty for a criterion that needs none. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
}

/** The importance of each group [count]; no score of a group depends on another group. */
export function groupScores(
  criterion: Exclude<WidthCriterion, "random">,
  groups: ChannelGroups,
  { weights, gradients }: Values,
): Float64Array {
  const { term, total } = rules[criterion] as Rule;
  const sums = new Float64Array(groups.count);
  for (const { name, axis, start } of groups.weights) {
    const { data, shape } = weights.get(name)!;
    const [rows, columns] = shape as readonly [number, number];
    const gradient = gradients.get(name);
    const [length, step] = axis === 0 ? [columns, 1] : [rows, columns];
    for (let i = 0; i < groups.count * groups.size; i++) {
      let [at, sum] = [axis === 0 ? (start + i) * columns : start + i, 0];
      for (let n = 0; n < length; n++, at += step) sum += term(data[at]!, gradient ? gradient[at]! : 0);
      const group = Math.floor(i / groups.size);
      sums[group] = sums[group]! + sum;
    }
  }
  return sums.map(total);
}

/**
 * The `keep` groups of highest score, ascending; of equals those that come first.
 * @throws InputError naming a score that is not a number.
 */
export function mostImportant(scores: Float64Array, keep: number, where: string): number[] {
  const wrong = scores.findIndex((score) => !Number.isFinite(score));
  if (wrong >= 0) {
    throw new InputError(
      `${where}: the importance of group ${wrong} is ${scores[wrong]}, expected a finite number; look for NaN in the weights with tinyfusion inspect --check`,
    );
  }
  const ranked = Array.from(scores.keys()).sort((a, b) => scores[b]! - scores[a]! || a - b);
  return ranked.slice(0, keep).sort((a, b) => a - b);
}

/** Random scores [count]: a function of the seed, the kind of group and the block. */
export const randomScores = (seed: number, kind: string, block: number, count: number): Float64Array =>
  Float64Array.from(uniforms({ seed, purpose: `random ${kind}`, step: 0, index: block }, count));
