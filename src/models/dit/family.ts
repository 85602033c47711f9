/** The diffusion transformer as a model family. */
import { denoiserFamily } from "../family.ts";
import { type DiTConfig, ditConfigSchema } from "./config.ts";
import { dit, ditBlockScope } from "./dit.ts";

export const ditFamily = denoiserFamily<DiTConfig>({
  name: "dit",
  process: "gaussian",
  parse: (json) => ditConfigSchema.parse(json),
  predict: dit,
  blockScope: ditBlockScope,
});
