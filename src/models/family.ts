/** What the rest of the system knows of a model family: its configuration, its prediction and its blocks. */
import type { Tensor } from "../graph/tensor.ts";
import type { Params } from "../nn/params.ts";
import type { RunBlock } from "../nn/run-block.ts";

/** What every configuration says, whatever the family. */
export interface ModelConfig {
  readonly family: string;
  readonly depth: number;
  readonly inputSize: number;
  readonly inChannels: number;
  readonly numClasses: number;
}

export interface Family<C extends ModelConfig> {
  readonly name: C["family"];
  /** @throws ZodError for anything that is not a configuration of this family. */
  parse(json: unknown): C;
  /** Output for x [N, C, S, S], t [N], y [N]; blocks run through `runBlock` in forward order. */
  predict(p: Params, config: C, inputs: { x: Tensor; t: Tensor; y: Tensor }, runBlock?: RunBlock): Tensor;
  /** Name scope of each block, in forward order. */
  blockScopes(config: C): string[];
  /** The configuration of the model that keeps only these blocks. */
  keep(config: C, kept: readonly number[]): C;
}
