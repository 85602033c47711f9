/** The families there are, and how a configuration finds its own. */
import { InputError } from "../array/input-error.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Params } from "../nn/params.ts";
import type { RunBlock } from "../nn/run-block.ts";
import { ditFamily } from "./dit/dit.ts";
import type { Denoiser, Family, ModelConfig } from "./family.ts";
import { marFamily } from "./mar/mar.ts";
import { sitFamily } from "./sit.ts";

const families = [ditFamily, sitFamily, marFamily] as const;

/** Any model: its family applied to its configuration. */
export interface Model {
  readonly family: Family<ModelConfig>;
  readonly config: ModelConfig;
}

/**
 * The model that a configuration describes.
 * @throws InputError naming each field that is wrong.
 */
export function modelOf(json: unknown, where = "model configuration"): Model {
  const name = (json as { family?: unknown } | null)?.family ?? "dit";
  const family = families.find((candidate) => candidate.name === name);
  if (!family) {
    const known = families.map((candidate) => candidate.name).join(", ");
    throw new InputError(`${where}: unknown family ${JSON.stringify(name)}; expected one of ${known}`);
  }
  return { family: family as unknown as Family<ModelConfig>, config: family.parse(json, where) };
}

/**
 * A model as a function from noised images, timesteps and labels to its prediction.
 * @throws TypeError for a model that is no such function.
 */
export function predictor({ family, config }: Model, p: Params, runBlock?: RunBlock) {
  if (!("predict" in family)) throw new TypeError(`${family.name} models do not predict from noised images alone`);
  const { predict } = family as Denoiser<ModelConfig>;
  return (inputs: { x: Tensor; t: Tensor; y: Tensor }): Tensor => predict(p, config, inputs, runBlock);
}
