/** The middleware around residual blocks: who runs, and what is done with it. Models call it, methods supply it. */
import { add } from "../graph/build.ts";
import type { Segment } from "../graph/recompute.ts";
import type { Tensor } from "../graph/tensor.ts";

/** One residual branch of a block: `delta` is what it adds to the hidden state. */
export interface Branch {
  readonly name: string;
  delta(h: Tensor, ...perSample: Tensor[]): Tensor;
}

/**
 * One residual block. `h + Σ delta` over its branches, in order, equals the block; `perSample` are conditioning rows,
 * so that a subset of the batch can be run.
 */
export interface Block {
  (h: Tensor, ...perSample: Tensor[]): Tensor;
  readonly branches: readonly Branch[];
}

/** Runs block number `index` (forward order) on h [N, T, D], in whatever way. */
export type RunBlock = (block: Block, h: Tensor, index: number, ...perSample: Tensor[]) => Tensor;

/** A block from its branches. */
export function residualBlock(branches: readonly Branch[]): Block {
  const run = (h: Tensor, ...perSample: Tensor[]): Tensor =>
    branches.reduce((state, branch) => add(state, branch.delta(state, ...perSample)), h);
  return Object.assign(run, { branches });
}

/** Every block, as the model was trained. */
export const runEvery: RunBlock = (block, h, _index, ...perSample) => block(h, ...perSample);

/** Only the kept blocks; the others pass the hidden state on. */
export function runOnly(kept: Iterable<number>): RunBlock {
  const set = new Set(kept);
  return (block, h, index, ...perSample) => (set.has(index) ? block(h, ...perSample) : h);
}

/** Notes the state before and after every block, in forward order, on the way through `inner`. */
export function noteStates(states: Segment[], inner: RunBlock = runEvery): RunBlock {
  return (block, h, index, ...perSample) => {
    const end = inner(block, h, index, ...perSample);
    states.push({ start: h, end });
    return end;
  };
}

/** Writes the output of every block to `features` by number, on the way through `inner`. */
export function tap(features: Map<number, Tensor>, inner: RunBlock = runEvery): RunBlock {
  return (block, h, index, ...perSample) => {
    const out = inner(block, h, index, ...perSample);
    features.set(index, out);
    return out;
  };
}
