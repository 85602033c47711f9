/** Which layers of a model are computed in int8. */
import type { WeightFilter } from "../graph/precision.ts";
import type { Model } from "./registry.ts";

/**
 * The linear layers inside blocks, which do most of the work, but for adaLN: its few rows scale and shift all tokens. In a
 * head, where adaLN has a row for each token and three fifths of the work, it is int8 as well. Embeddings and the last layer
 * stay float32, as quantized diffusion transformers usually have them.
 */
export function int8Layers({ family, config }: Model): WeightFilter {
  const isIn = (name: string, scopes: readonly string[]) => scopes.some((scope) => name.startsWith(`${scope}.`));
  const [blocks, head] = [family.blockScopes(config), family.headScopes?.(config) ?? []];
  return (name) => isIn(name, head) || (isIn(name, blocks) && !name.includes(".adaLN_modulation."));
}
