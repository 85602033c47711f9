/** Which layers of a model are computed in int8. */
import type { WeightFilter } from "../graph/precision.ts";
import type { Model } from "./registry.ts";

/**
 * The linear layers inside blocks, which do most of the work, but for adaLN: its few rows scale and shift all tokens.
 * Embeddings and the last layer stay float32, as quantized diffusion transformers usually have them.
 */
export function int8Layers({ family, config }: Model): WeightFilter {
  const scopes = family.blockScopes(config).map((scope) => `${scope}.`);
  return (name) => scopes.some((scope) => name.startsWith(scope)) && !name.includes(".adaLN_modulation.");
}
