/** The scalable interpolant transformer as a model family. */
import { ditBlockScope } from "../dit/dit.ts";
import { denoiserFamily } from "../family.ts";
import { type SiTConfig, sitConfigSchema } from "./config.ts";
import { sit } from "./sit.ts";

export const sitFamily = denoiserFamily<SiTConfig>({
  name: "sit",
  process: "flow",
  parse: (json) => sitConfigSchema.parse(json),
  predict: sit,
  blockScope: ditBlockScope,
});
