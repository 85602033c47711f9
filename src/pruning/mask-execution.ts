/** The graph of one mask-learning step: loss, LoRA and the gradient of the masks, executed routed or dense. */
import { float32 } from "../array/ndarray.ts";
import type { NamedArrays } from "../engine/engine.ts";
import { add, input, mul, reshape, slice, sub } from "../graph/build.ts";
import { gradient } from "../graph/gradient.ts";
import { dimAt, type Tensor } from "../graph/tensor.ts";
import type { Block, RunBlock } from "../nn/run-block.ts";
import type { TracedLoss } from "../training/trainer.ts";
import type { MaskDraw } from "./draw-mask.ts";
import { type ProbeKey, type ProbeProbabilities, planRoutes } from "./routes.ts";
import { maskGradients, type RoutedBlock, runRouted } from "./run-routed.ts";

/** Masks as feeds of a graph. */
export interface MaskFeeds {
  readonly feeds: NamedArrays;
  /** ∂L/∂mask [N][depth] from the outputs of the step. */
  gradient(extras: NamedArrays): Float64Array[];
}

/** A way to execute masks. */
export interface MaskExecution {
  readonly runBlock: RunBlock;
  /** Adds the outputs that the gates need to a traced loss; `adapt` is the rewrite that adds low-rank updates. */
  complete(traced: TracedLoss, adapt: (tensors: readonly Tensor[]) => Tensor[]): TracedLoss;
  feeds(draws: readonly MaskDraw[], probabilities: ProbeProbabilities, key: ProbeKey): MaskFeeds;
}

/** Rewrites loss, terms and further tensors together, so that shared nodes stay shared. */
function adaptTogether(
  traced: TracedLoss,
  further: readonly Tensor[],
  adapt: (tensors: readonly Tensor[]) => Tensor[],
): { traced: TracedLoss; further: Tensor[] } {
  const { loss, terms, blocks = [] } = traced;
  const states = blocks.flatMap(({ start, end }) => [start, end]);
  const adapted = adapt([loss, ...Object.values(terms), ...further, ...states]);
  const next = () => adapted.shift()!;
  const first = {
    ...traced,
    loss: next(),
    terms: Object.fromEntries(Object.keys(terms).map((name) => [name, next()])),
  };
  const others = further.map(next);
  return { traced: { ...first, blocks: blocks.map(() => ({ start: next(), end: next() })) }, further: others };
}

/** h + mask · (block(h) − h), with one mask entry per row and block: masks [N, depth]. The reference for `runRouted`. */
export function runGated(masks: Tensor): RunBlock {
  return (block, h, index, ...conditioning) => {
    const mask = reshape(slice(masks, 1, index, index + 1), [dimAt(h, 0), 1, 1]);
    return add(h, mul(mask, blockDelta(block, h, ...conditioning)));
  };
}

/** What the block adds: the sum of its branches, each seeing the state after the ones before it. */
function blockDelta(block: Block, h: Tensor, ...conditioning: Tensor[]): Tensor {
  const [first, ...rest] = block.branches;
  if (!first) return sub(h, h);
  let total = first.delta(h, ...conditioning);
  for (const branch of rest) total = add(total, branch.delta(add(h, total), ...conditioning));
  return total;
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
  const traces: RoutedBlock[] = [];
  return {
    runBlock: runRouted(traces),
    complete(original, adapt) {
      const tensors = traces.flatMap(({ out, keptDelta, probeDelta }) => [out, keptDelta, probeDelta]);
      const { traced, further } = adaptTogether(original, tensors, adapt);
      const adapted = traces.map((trace, i) => {
        const [out, keptDelta, probeDelta] = further.slice(3 * i, 3 * i + 3) as [Tensor, Tensor, Tensor];
        return { ...trace, out, keptDelta, probeDelta };
      });
      const outGradients = gradient(
        traced.loss,
        adapted.map(({ out }) => out),
      );
      return { ...traced, extras: maskGradients(adapted, outGradients) };
    },
    feeds: planRoutes,
  };
}
