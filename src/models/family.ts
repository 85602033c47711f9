/** What the rest of the system knows of a model family: its configuration, its weights and its blocks. */
import { InputError } from "../array/input-error.ts";
import { input } from "../graph/build.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Params } from "../nn/params.ts";
import type { RunBlock } from "../nn/run-block.ts";

/** What every configuration says, whatever the family. */
export interface ModelConfig {
  readonly family: string;
  /** Number of blocks that can be pruned. */
  readonly depth: number;
  readonly inputSize: number;
  readonly inChannels: number;
  readonly numClasses: number;
  /** False for a model that was trained without dropping labels: it knows no class for "no label". */
  readonly nullClass?: false | undefined;
}

/** Number of tokens of an image that is cut into patches. */
export const tokenCount = ({
  inputSize,
  patchSize,
}: {
  readonly inputSize: number;
  readonly patchSize: number;
}): number => (inputSize / patchSize) ** 2;

export interface Family<C extends ModelConfig> {
  readonly name: C["family"];
  /** What joins noise and data: the kind of process its models are trained on. */
  readonly process: "gaussian" | "flow" | "tokens";
  /** @throws InputError naming each field that is wrong. */
  parse(json: unknown, where?: string): C;
  /** Traces the whole model once, on inputs of any size, so that `p` knows all its weights. */
  trace(p: Params, config: C): void;
  /** Name scope of each block, in forward order. */
  blockScopes(config: C): string[];
  /** Name scopes of residual layers outside blocks, in forward order: none by default. */
  headScopes?(config: C): string[];
  /** How many blocks each stack has, in forward order: groups do not reach over the end of a stack. */
  stacks(config: C): number[];
  /** The configuration of the model that keeps only these blocks. @throws InputError unless they ascend, each once. */
  keep(config: C, kept: readonly number[]): C;
}

/** A family of one function from noised images to a prediction. */
export interface Denoiser<C extends ModelConfig> extends Family<C> {
  /** Output for x [N, C, S, S], t [N], y [N]; blocks run through `runBlock` in forward order. */
  predict(p: Params, config: C, inputs: { x: Tensor; t: Tensor; y: Tensor }, runBlock?: RunBlock): Tensor;
}

/** The rest of a family of one stack, from its prediction. */
export function denoiserFamily<C extends ModelConfig>(
  own: Pick<Denoiser<C>, "name" | "process" | "parse" | "predict"> & { readonly blockScope: (index: number) => string },
): Denoiser<C> {
  return {
    name: own.name,
    process: own.process,
    parse: own.parse,
    predict: own.predict,
    trace(p, config) {
      const { inChannels, inputSize } = config;
      const x = input("x", [2, inChannels, inputSize, inputSize]);
      own.predict(p, config, { x, t: input("t", [2]), y: input("y", [2], "int32") });
    },
    blockScopes: ({ depth }) => Array.from({ length: depth }, (_, i) => own.blockScope(i)),
    stacks: ({ depth }) => [depth],
    keep(config, kept) {
      requireKept(kept, config.depth);
      return { ...config, depth: kept.length };
    },
  };
}

export const hasNullClass = ({ nullClass }: Pick<ModelConfig, "nullClass">): boolean => nullClass !== false;

/** @throws InputError for a model that was trained without dropping labels; `need` says what asks for them: `--cfg 2`. */
export function requireNullClass(config: Pick<ModelConfig, "nullClass">, need: string, remedy: string): void {
  if (hasNullClass(config)) return;
  throw new InputError(
    `${need} needs a class for "no label", which this model does not have: it was trained without dropping labels; ${remedy}`,
  );
}

/** Settings of sampling for a model: without such a class there is no guidance. @throws InputError where one is asked for. */
export function guidanceFor<S extends { readonly cfgScale?: number }>(
  config: Pick<ModelConfig, "nullClass">,
  settings: S,
): S {
  if (hasNullClass(config)) return settings;
  const { cfgScale = 1 } = settings;
  if (cfgScale !== 1) requireNullClass(config, `guidance of ${cfgScale}`, "use `cfg` 1");
  return { ...settings, cfgScale };
}

/** @throws InputError unless these are block numbers of a model of `depth` blocks, ascending and each once. */
export function requireKept(kept: readonly number[], depth: number): void {
  const isNumber = (block: number) => Number.isInteger(block) && block >= 0 && block < depth;
  const isAscending = kept.every((block, i) => i === 0 || block > kept[i - 1]!);
  if (kept.every(isNumber) && isAscending) return;
  throw new InputError(
    `kept blocks [${kept.join(", ")}]: expected ascending block numbers from 0 to ${depth - 1}, each once`,
  );
}
