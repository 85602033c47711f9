/** Dense execution: every block runs on every row, masks blend. The reference for routed execution. */
import { add, mul, reshape, slice, sub } from "../graph/build.ts";
import { dimAt, type Tensor } from "../graph/tensor.ts";
import type { Block, RunBlock } from "../nn/run-block.ts";

/** h + mask · (block(h) − h), with one mask entry per row and block: masks [N, depth]. */
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
