/** The masked autoregressive model as a model family. */
import { input } from "../../graph/build.ts";
import type { Family } from "../family.ts";
import { requireKept } from "../kept-blocks.ts";
import { type MarConfig, marConfigSchema, tokenCount, tokenSize } from "./config.ts";
import { mar, marBlockScopes } from "./mar.ts";
import { tokenDenoiser } from "./token-denoiser.ts";

export const marFamily: Family<MarConfig> = {
  name: "mar",
  process: "tokens",
  parse: (json) => marConfigSchema.parse(json),
  trace(p, config) {
    const tokens = input("tokens", [2, tokenCount(config), tokenSize(config)]);
    const visible = input("visible", [2, config.bufferSize], "int32");
    mar(p, config, { tokens, visible, y: input("y", [2], "int32") });
    const x = input("x", [2, tokenSize(config)]);
    tokenDenoiser(p, config, { x, t: input("t", [2]), z: input("z", [2, config.decoderSize]) });
  },
  blockScopes: marBlockScopes,
  stacks: ({ encoderDepth, decoderDepth }) => [encoderDepth, decoderDepth],
  keep(config, kept) {
    requireKept(kept, config.depth);
    const encoderDepth = kept.filter((block) => block < config.encoderDepth).length;
    return { ...config, encoderDepth, decoderDepth: kept.length - encoderDepth, depth: kept.length };
  },
};
