/**
 * How important heads and MLP channels are: Diff-Pruning's score (Fang, Ma and Wang 2023, arXiv 2305.10924, section 3.3)
 * and what it is compared with there. The ranking is that of the original's code: weights count, biases do not.
 */
import { InputError } from "../../array/input-error.ts";
import type { NDArray } from "../../array/ndarray.ts";
import { uniforms } from "../../array/random.ts";
import type { ChannelGroups, ChannelSlice } from "./channel-groups.ts";

/** A score of a unit from its weights w and the gradient g of the loss, summed over timesteps. */
interface Rule {
  /** Whose gradients are summed: timesteps that still tell something, all of them, or none. */
  readonly gradient: "informative" | "every" | "none";
  /** What one weight adds. */
  term(w: number, g: number): number;
  total(sum: number): number;
}

const rules = {
  // I(θ_i) = Σ_k |θ_ik · Σ_{t | L_t / L_max > T} ∂L_t/∂θ_ik|: each weight's own disturbance counts.
  "diff-pruning": { gradient: "informative", term: (w, g) => Math.abs(w * g), total: (sum) => sum },
  // |Σ_k θ_ik · Σ_t ∂L_t/∂θ_ik|: the loss as one Taylor polynomial of all weights of the unit.
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

/** The importance of each unit [count]; no score of a unit depends on another unit. */
export function groupScores(
  criterion: Exclude<WidthCriterion, "random">,
  units: ChannelGroups,
  { weights, gradients }: Values,
): Float64Array {
  const { term, total } = rules[criterion] as Rule;
  const sums = new Float64Array(units.count);
  for (const part of units.weights) {
    const { data, shape } = weights.get(part.name)!;
    const gradient = gradients.get(part.name);
    const line = linesOf(part, shape as readonly [number, number]);
    for (let i = 0; i < units.count * units.size; i++) {
      let sum = 0;
      for (let at = line.first(i), n = 0; n < line.length; at += line.step, n++) {
        sum += term(data[at]!, gradient ? gradient[at]! : 0);
      }
      const unit = Math.floor(i / units.size);
      sums[unit] = sums[unit]! + sum;
    }
  }
  return sums.map(total);
}

/** Where the i-th row or column of a part lies in a weight [rows, columns]. */
const linesOf = ({ axis, start }: ChannelSlice, [rows, columns]: readonly [number, number]) =>
  axis === 0
    ? { length: columns, step: 1, first: (i: number) => (start + i) * columns }
    : { length: rows, step: columns, first: (i: number) => start + i };

/**
 * The `keep` units of highest score, ascending; of equals those that come first.
 * @throws InputError naming a score that is not a number.
 */
export function mostImportant(scores: Float64Array, keep: number, where: string): number[] {
  const wrong = scores.findIndex((score) => !Number.isFinite(score));
  if (wrong >= 0) {
    throw new InputError(
      `${where}: the importance of unit ${wrong} is ${scores[wrong]}, expected a finite number; look for such weights with tinyfusion inspect --check`,
    );
  }
  const ranked = Array.from(scores.keys()).sort((a, b) => scores[b]! - scores[a]! || a - b);
  return ranked.slice(0, keep).sort((a, b) => a - b);
}

/** Scores by lot [count]: a function of the seed, the kind of unit and the block. */
export const randomScores = (seed: number, kind: string, block: number, count: number): Float64Array =>
  Float64Array.from(uniforms({ seed, purpose: `random ${kind}`, step: 0, index: block }, count));
