/** The diffusion transformer as a model family. */
import type { Family } from "../family.ts";
import { type DiTConfig, ditConfigSchema } from "./config.ts";
import { dit, ditBlockScope } from "./dit.ts";

export const ditFamily: Family<DiTConfig> = {
  name: "dit",
  parse: (json) => ditConfigSchema.parse(json),
  predict: dit,
  blockScopes: ({ depth }) => Array.from({ length: depth }, (_, i) => ditBlockScope(i)),
  keep: (config, kept) => ({ ...config, depth: kept.length }),
};
