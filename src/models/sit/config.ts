/** The shape of a scalable interpolant transformer. */
import { z } from "zod";
import { ditConfigSchema } from "../dit/config.ts";

/** What `--model-config` files and checkpoint metadata must hold: a DiT's fields, under another family. */
export const sitConfigSchema = z
  .looseObject({ family: z.literal("sit") })
  .transform((json) => ({ ...json, family: "dit" }) as z.input<typeof ditConfigSchema>)
  .pipe(ditConfigSchema)
  .transform((config) => ({ ...config, family: "sit" as const }));

/**
 * A SiT (Ma et al. 2024). As in a DiT, `learnSigma` doubles the channels of the last layer; the second half is computed
 * and dropped, as the original does.
 */
export type SiTConfig = Readonly<z.infer<typeof sitConfigSchema>>;
