/** One categorical variable per group over its keep-patterns, sampled with Gumbel-softmax, hard and straight-through. */
import { type Group, keepPatterns } from "./groups.ts";

/** How sharp the samples are: softmax((gate · scale + gumbel) / tau). */
export interface Temperature {
  readonly tau: number;
  readonly scale: number;
}

/** The patterns of a group, and where its logits lie in the vector of all gates. */
export interface GateGroup extends Group {
  readonly patterns: readonly (readonly number[])[];
  readonly offset: number;
}

/** Gates of all groups: layout only, the values are plain vectors. */
export function gateGroups(groups: readonly Group[]): GateGroup[] {
  let offset = 0;
  return groups.map((group) => {
    const patterns = keepPatterns(group.keep, group.size);
    offset += patterns.length;
    return { ...group, patterns, offset: offset - patterns.length };
  });
}

/** Number of gates in all groups. */
export const gateCount = (groups: readonly GateGroup[]): number =>
  groups.reduce((total, { patterns }) => total + patterns.length, 0);

/** What one sample drew in every group. */
export interface MaskDraw {
  /** Soft probabilities of all patterns [gates]. */
  readonly soft: Float64Array;
  /** The pattern chosen in each group. */
  readonly chosen: readonly number[];
  /** 1 for kept, 0 for dropped blocks [depth]. */
  readonly mask: Uint8Array;
}

/** Samples one row's pattern from gates and Gumbel noise, both [gates] (Jang et al. 2017; the paper, eq. 5 and 6). */
export function drawMask(
  groups: readonly GateGroup[],
  gates: ArrayLike<number>,
  gumbel: ArrayLike<number>,
  { tau, scale }: Temperature,
): MaskDraw {
  const soft = new Float64Array(gateCount(groups));
  const depth = groups.reduce((total, { size }) => total + size, 0);
  const mask = new Uint8Array(depth);
  const chosen = groups.map(({ offset, patterns, start }) => {
    const logits = patterns.map((_, i) => (gates[offset + i]! * scale + gumbel[offset + i]!) / tau);
    soft.set(softmax(logits), offset);
    const best = argmax(logits);
    for (const position of patterns[best]!) mask[start + position] = 1;
    return best;
  });
  return { soft, chosen, mask };
}

/** Adds one row's contribution to the gates' gradient, from ∂L/∂mask [depth], as if the mask had been soft. */
export function addGateGradient(
  groups: readonly GateGroup[],
  gradient: Float32Array | Float64Array,
  { soft }: MaskDraw,
  maskGradient: ArrayLike<number>,
  { tau, scale }: Temperature,
): void {
  for (const { offset, patterns, start } of groups) {
    const gradients = patterns.map((kept) =>
      kept.reduce((total, position) => total + maskGradient[start + position]!, 0),
    );
    const mean = gradients.reduce((total, g, i) => total + g * soft[offset + i]!, 0);
    gradients.forEach((g, i) => {
      gradient[offset + i]! += (scale / tau) * soft[offset + i]! * (g - mean);
    });
  }
}

/**
 * How strongly each block's mask entry moves the gates: the norm of ∂gates/∂mask[i] for one row [depth]. For 1:2 it is
 * y(1 − y) up to a constant; it vanishes once probabilities are one-hot.
 */
export function gateSensitivity(
  groups: readonly GateGroup[],
  { soft }: MaskDraw,
  { tau, scale }: Temperature,
): Float64Array {
  const depth = groups.reduce((total, { size }) => total + size, 0);
  const norms = new Float64Array(depth);
  for (const { offset, patterns, start, size } of groups) {
    for (let position = 0; position < size; position++) {
      const keeps = patterns.map((kept) => (kept.includes(position) ? 1 : 0));
      const mean = keeps.reduce<number>((total, keep, i) => total + keep * soft[offset + i]!, 0);
      const squares = keeps.map((keep, i) => (soft[offset + i]! * (keep - mean)) ** 2);
      norms[start + position] = (scale / tau) * Math.sqrt(squares.reduce((a, b) => a + b, 0));
    }
  }
  return norms;
}

/** The most likely pattern of every group, without noise. */
export interface Decision {
  readonly kept: readonly number[];
  /** Probability of the chosen pattern in each group: softmax(gate · scale). */
  readonly confidence: readonly number[];
  /** Probability of each block being kept [depth]. */
  readonly probabilities: readonly number[];
}

/** The decision that gates stand for. */
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
      probabilities.push(patterns.reduce((total, pattern, i) => total + (pattern.includes(position) ? p[i]! : 0), 0));
    }
  }
  return { kept, confidence, probabilities };
}

function softmax(logits: readonly number[]): number[] {
  const top = Math.max(...logits);
  const exps = logits.map((x) => Math.exp(x - top));
  const total = exps.reduce((a, b) => a + b, 0);
  return exps.map((x) => x / total);
}

/** The first of the largest. */
const argmax = (values: readonly number[]): number => values.indexOf(Math.max(...values));
