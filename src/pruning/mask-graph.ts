/** The graph of one mask-learning step: loss, LoRA, and what the gates need, executed routed or dense. */

import { float32 } from "../array/ndarray.ts";
import type { NamedArrays } from "../engine/engine.ts";
import { input } from "../graph/build.ts";
import { gradient } from "../graph/gradient.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { RunBlock } from "../nn/run-block.ts";
import type { TracedLoss } from "../training/trainer.ts";
import { runGated } from "./gated.ts";
import type { MaskDraw } from "./gates.ts";
import { RoutedBlocks } from "./routed.ts";
import { maskGradientOf, type ProbeKey, type ProbeProbabilities, planRoutes } from "./routes.ts";

/** Reads ∂L/∂mask [N][depth] from what a step returned. */
export interface MaskFeeds {
  readonly feeds: NamedArrays;
  gradient(extras: NamedArrays): Float64Array[];
}

/** A way to execute masks. */
export interface MaskExecution {
  readonly runBlock: RunBlock;
  /** Completes a traced loss with the outputs the gates need; `adapt` is the rewrite that adds low-rank updates. */
  complete(traced: TracedLoss, adapt: (tensors: readonly Tensor[]) => Tensor[]): TracedLoss;
  feeds(draws: readonly MaskDraw[], probabilities: ProbeProbabilities, key: ProbeKey): MaskFeeds;
}

/** Rewrites loss, terms and further tensors together, so that shared nodes stay shared. */
function adaptTogether(
  traced: TracedLoss,
  further: readonly Tensor[],
  adapt: (tensors: readonly Tensor[]) => Tensor[],
): { traced: TracedLoss; further: Tensor[] } {
  const names = Object.keys(traced.terms);
  const states = (traced.blocks ?? []).flatMap(({ start, end }) => [start, end]);
  const [loss, ...rest] = adapt([traced.loss, ...Object.values(traced.terms), ...further, ...states]);
  const terms = Object.fromEntries(names.map((name, i) => [name, rest[i]!]));
  const at = names.length + further.length;
  const blocks = traced.blocks?.map((_, i) => ({ start: rest[at + 2 * i]!, end: rest[at + 2 * i + 1]! }));
  return {
    traced: { ...traced, loss: loss!, terms, ...(blocks && { blocks }) },
    further: rest.slice(names.length, at),
  };
}

/** Every block on every row; masks [rows, depth] are an input and get their gradient from the graph. */
export function denseExecution(rows: number, depth: number): MaskExecution {
  const masks = input("masks", [rows, depth]);
  return {
    runBlock: runGated(masks),
    complete(original, adapt) {
      const { traced } = adaptTogether(original, [], adapt);
      return { ...traced, extras: { maskGradient: gradient(traced.loss, [masks])[0]! } };
    },
    feeds: (draws) => ({
      feeds: { masks: float32(Float32Array.from(draws.flatMap(({ mask }) => [...mask])), [rows, depth]) },
      gradient: ({ maskGradient }) => {
        const values = maskGradient!.data as Float32Array;
        return draws.map((_, n) => Float64Array.from(values.subarray(n * depth, (n + 1) * depth)));
      },
    }),
  };
}

/** Each block on the rows that keep it; the same gradients, less work. */
export function routedExecution(): MaskExecution {
  const blocks = new RoutedBlocks();
  return {
    runBlock: blocks.runBlock,
    complete(original, adapt) {
      const { traced, further } = adaptTogether(original, blocks.tensors(), adapt);
      const gradients = gradient(traced.loss, RoutedBlocks.outs(further));
      return { ...traced, extras: blocks.maskGradients(further, gradients) };
    },
    feeds(draws, probabilities, key) {
      const plan = planRoutes(draws, probabilities, key);
      return { feeds: plan.feeds, gradient: (extras) => maskGradientOf(plan, draws.length, extras) };
    },
  };
}

/** What every mask-learning batch is: the examples and each row's Gumbel noise. */
export interface MaskBatch {
  /** Feeds of the loss. */
  readonly feeds: NamedArrays;
  /** Gumbel noise of each row [gates]. */
  readonly gumbel: readonly ArrayLike<number>[];
  /** Example number of the first row in its global batch. */
  readonly first: number;
}
