/** The shape of a scalable interpolant transformer. */
import { z } from "zod";
import { bodyFields, withBodyChecks } from "../dit/config.ts";

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
