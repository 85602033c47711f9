/** The scalable interpolant transformer (Ma et al. 2024, arXiv 2401.08740): a DiT that is told t in [0, 1]. N batch, S side. */
import { mul, slice } from "../../graph/build.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { Params } from "../../nn/params.ts";
import { type RunBlock, runAll } from "../../nn/run-block.ts";
import { type DiTInputs, dit } from "../dit/dit.ts";
import type { SiTConfig } from "./config.ts";

/** Predicted velocity (or noise, or score) [N, C, S, S] for t [N] in [0, 1]: 0 is noise, 1 is data. */
export function sit(p: Params, config: SiTConfig, inputs: DiTInputs, runBlock: RunBlock = runAll): Tensor {
  const { timeScale, ...body } = config;
  const t = timeScale === 1 ? inputs.t : mul(inputs.t, timeScale);
  const output = dit(p, { ...body, family: "dit" }, { ...inputs, t }, runBlock); // [N, C or 2C, S, S]
  return slice(output, 1, 0, config.inChannels);
}
