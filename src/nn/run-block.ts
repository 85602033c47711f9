/** The middleware around residual blocks: who runs, and what is done with it. Models call it, methods supply it. */
import { InputError } from "../array/input-error.ts";
import { add } from "../graph/build.ts";
import type { Segment } from "../graph/recompute.ts";
import type { Tensor } from "../graph/tensor.ts";

/** One residual branch of a block: `delta` is what it adds to the hidden state. */
export interface Branch {
  readonly name: string;
  delta(h: Tensor, ...conditioning: Tensor[]): Tensor;
}

/**
 * One residual block. `h + Σ delta` over its branches, in order, equals the block; `conditioning` are conditioning rows,
 * so that a subset of the batch can be run.
 */
export interface Block {
  (h: Tensor, ...conditioning: Tensor[]): Tensor;
  readonly branches: readonly Branch[];
}

/** Runs block number `index` (forward order) on h [N, T, D], in whatever way. */
export interface RunBlock {
  (block: Block, h: Tensor, index: number, ...conditioning: Tensor[]): Tensor;
  /** The blocks that it is about, if those are given by number: a model must have them all. */
  readonly named?: ReadonlySet<number> | undefined;
}

/** @throws InputError for a RunBlock that names a block which a model of `depth` blocks does not have. */
export function requireBlocks({ named = new Set() }: RunBlock, depth: number): void {
  for (const block of named) {
    if (block >= depth) throw new InputError(`block ${block} is asked for, the model has 0 to ${depth - 1}`);
  }
}

/** A block from its branches. */
export function residualBlock(branches: readonly Branch[]): Block {
  const run = (h: Tensor, ...conditioning: Tensor[]): Tensor =>
    branches.reduce((state, branch) => add(state, branch.delta(state, ...conditioning)), h);
  return Object.assign(run, { branches });
}

/** Every block, as the model was trained. */
export const runAll: RunBlock = (block, h, _index, ...conditioning) => block(h, ...conditioning);

/**
 * Only the kept blocks; the others pass the hidden state on. A model without one of them throws when it is traced.
 * @throws InputError for what is no number of a block.
 */
export function runOnly(kept: Iterable<number>): RunBlock {
  const named = new Set(kept);
  for (const block of named) {
    if (!(Number.isInteger(block) && block >= 0)) {
      throw new InputError(`kept blocks: expected whole numbers from 0 on, got ${block}`);
    }
  }
  const run: RunBlock = (block, h, index, ...conditioning) => (named.has(index) ? block(h, ...conditioning) : h);
  return Object.assign(run, { named });
}

/** Notes the state before and after every block, in forward order, on the way through `inner`. */
export function captureStates(states: Segment[], inner: RunBlock = runAll): RunBlock {
  const run: RunBlock = (block, h, index, ...conditioning) => {
    const end = inner(block, h, index, ...conditioning);
    states.push({ start: h, end });
    return end;
  };
  return Object.assign(run, { named: inner.named });
}

/** Writes the output of every block to `features` by number, on the way through `inner`. */
export function captureOutputs(features: Map<number, Tensor>, inner: RunBlock = runAll): RunBlock {
  const run: RunBlock = (block, h, index, ...conditioning) => {
    const out = inner(block, h, index, ...conditioning);
    features.set(index, out);
    return out;
  };
  return Object.assign(run, { named: inner.named });
}
