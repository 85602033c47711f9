/** Branches of blocks that are computed or taken from an earlier model evaluation. N rows, T tokens, D hidden. */
import { InputError } from "../../array/input-error.ts";
import { input } from "../../graph/build.ts";
import type { Shape } from "../../graph/dim.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { type RunBlock, residualBlock, runAll } from "../../nn/run-block.ts";

/** The kinds of branches that can be reused, by the names that models give them. Two kinds are at most four graphs. */
export const branchKinds = ["attention", "mlp"] as const;

export type BranchKind = (typeof branchKinds)[number];

/** One value for each kind. */
export const byKind = <T>(of: (kind: BranchKind) => T): Record<BranchKind, T> => ({
  attention: of("attention"),
  mlp: of("mlp"),
});

/** What a branch adds to the hidden state [N, T, D], gate included. */
export interface BranchOutput {
  readonly kind: BranchKind;
  readonly value: Tensor;
}

/** Outputs of branches by the names that their inputs have or would have: `delta.3.attention`. */
export type BranchOutputs = ReadonlyMap<string, BranchOutput>;

/**
 * Blocks whose branches of the kinds `reused` are graph inputs, or what `follow` makes of earlier outputs; nothing in front of them is computed, no norm and no
 * modulation either. Every branch that runs, computed or not, is added to `outputs`. Runs `inner`, which may leave blocks out.
 */
export function runCached(
  reused: ReadonlySet<BranchKind>,
  outputs: Map<string, BranchOutput>,
  inner: RunBlock = runAll,
  follow: (name: string, kind: BranchKind, shape: Shape) => Tensor = (name, _, shape) => input(name, shape),
): RunBlock {
  return (block, h, index, ...conditioning) => {
    const branches = block.branches.map((branch) => {
      const kind = branchKinds.find((known) => known === branch.name);
      if (!kind) return branch;
      const name = `delta.${index}.${kind}`;
      const delta = (state: Tensor, ...conditions: Tensor[]): Tensor => {
        if (outputs.has(name)) throw new TypeError(`caching: ${name} runs twice in a graph; a cache has room for one`);
        const value = reused.has(kind) ? follow(name, kind, state.shape) : branch.delta(state, ...conditions);
        outputs.set(name, { kind, value });
        return value;
      };
      return { name: kind, delta };
    });
    return inner(residualBlock(branches), h, index, ...conditioning);
  };
}

/** How many branches of each kind there are. @throws InputError for none at all. */
export function branchCounts(outputs: BranchOutputs): Record<BranchKind, number> {
  if (outputs.size === 0) {
    throw new InputError(
      "caching: no attention or MLP of this model runs, so there is nothing to reuse; sample without `cache`",
    );
  }
  return byKind((kind) => [...outputs.values()].filter((output) => output.kind === kind).length);
}

/** Some outputs as outputs of a graph. */
export const tensorsOf = (outputs: Iterable<readonly [string, BranchOutput]>): Record<string, Tensor> =>
  Object.fromEntries(Array.from(outputs, ([name, { value }]) => [name, value]));
