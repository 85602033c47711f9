/** The scalable interpolant transformer (Ma et al. 2024, arXiv 2401.08740): a DiT that is told t in [0, 1]. N batch, S side. */

import { z } from "zod";
import { mul, slice } from "../graph/build.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Params } from "../nn/params.ts";
import { type RunBlock, runAll } from "../nn/run-block.ts";
import { bodyFields, withBodyChecks } from "./dit/config.ts";
import { type DiTInputs, dit, ditBlockScope } from "./dit/dit.ts";
import { denoiserFamily } from "./family.ts";
import { checkedJson } from "./schema.ts";

/** Predicted velocity (or noise, or score) [N, C, S, S] for t [N] in [0, 1]: 0 is noise, 1 is data. */
export function sit(p: Params, config: SiTConfig, inputs: DiTInputs, runBlock: RunBlock = runAll): Tensor {
  const { timeScale, ...body } = config;
  const t = timeScale === 1 ? inputs.t : mul(inputs.t, timeScale);
  const output = dit(p, { ...body, family: "dit" }, { ...inputs, t }, runBlock); // [N, C or 2C, S, S]
  return slice(output, 1, 0, config.inChannels);
}

/** What `--model-config` files and checkpoint metadata must hold; unknown keys are refused. */
export const sitConfigSchema = withBodyChecks(
  z.strictObject({
    family: z.literal("sit"),
    ...bodyFields,
    timeScale: z.number().positive().max(1_000_000).default(1),
  }),
);

/**
 * A SiT (Ma et al. 2024). As in a DiT, `learnSigma` doubles the channels of the last layer; the second half is computed
 * and dropped, as the original does. `timeScale` multiplies t before its embedding: the original's is 1, where 1000 uses
 * the whole range of the frequencies.
 */
export type SiTConfig = z.infer<typeof sitConfigSchema>;

export const sitFamily = denoiserFamily<SiTConfig>({
  name: "sit",
  process: "flow",
  parse: (json, where = "model configuration") => checkedJson(sitConfigSchema, json, where),
  predict: sit,
  blockScope: ditBlockScope,
});
