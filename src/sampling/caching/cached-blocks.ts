/** Branches of blocks that are computed or taken from an evaluation before. N rows, T tokens, D hidden. */
import { input } from "../../graph/build.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { type RunBlock, residualBlock, runAll } from "../../nn/run-block.ts";

/** The kinds of branches that can be reused, by the names that models give them. Two kinds are at most four graphs. */
export const branchKinds = ["attention", "mlp"] as const;

export type BranchKind = (typeof branchKinds)[number];

const isKind = (name: string): name is BranchKind => branchKinds.some((kind) => kind === name);

/** What a branch adds to the hidden state [N, T, D], gate included. */
export interface BranchOutput {
  readonly kind: BranchKind;
  readonly value: Tensor;
}

/**
 * Blocks whose branches of the kinds `reused` are graph inputs; nothing in front of them is computed, no norm and no
 * modulation either. `deltas` is told every branch that runs, computed or not, by the name that its input has or would
 * have: `delta.3.attention`. Goes on through `inner`, which may leave blocks out.
 */
export function runCached(
  reused: ReadonlySet<BranchKind>,
  deltas: Map<string, BranchOutput>,
  inner: RunBlock = runAll,
): RunBlock {
  return (block, h, index, ...conditioning) => {
    const branches = block.branches.map((branch) => {
      const { name: kind } = branch;
      if (!isKind(kind)) return branch;
      const name = `delta.${index}.${kind}`;
      const delta = (state: Tensor, ...conditions: Tensor[]): Tensor => {
        if (deltas.has(name)) throw new TypeError(`caching: ${name} runs twice in a graph; a cache has room for one`);
        const value = reused.has(kind) ? input(name, state.shape) : branch.delta(state, ...conditions);
        deltas.set(name, { kind, value });
        return value;
      };
      return { name: kind, delta };
    });
    return inner(residualBlock(branches), h, index, ...conditioning);
  };
}
