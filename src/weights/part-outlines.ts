/** Names by which a model is recognised in a file, and the prefixes before them. */

import { namesAverage } from "../formats/torch/choose-weights.ts";

/** Names that every model of a kind has, whatever its size. */
const outlines = {
  transformer: ["x_embedder.proj.weight", "t_embedder.mlp.0.weight", "final_layer.linear.weight"],
  diffusersTransformer: ["pos_embed.proj.weight", "proj_out_1.weight", "proj_out_2.weight"],
  masked: ["z_proj.weight", "class_emb.weight", "decoder_embed.weight"],
  autoencoder: ["encoder.conv_in.weight", "decoder.conv_in.weight"],
  inception: ["Conv2d_1a_3x3.conv.weight", "Mixed_7c.branch1x1.conv.weight"],
  nvidiaInception: ["layers.conv.weight", "output.weight"],
} as const;

/** What a caller may need from a file, each with the outlines that it can have. */
export const partOutlines = {
  model: [outlines.transformer, outlines.diffusersTransformer, outlines.masked],
  autoencoder: [outlines.autoencoder],
  inception: [outlines.inception, outlines.nvidiaInception],
} as const satisfies Record<string, readonly (readonly string[])[]>;

export type Part = keyof typeof partOutlines;

/**
 * The prefixes of whole parts of a kind, in file order; "" for one without a prefix.
 * Latent diffusion's `first_stage_model.` stays a part of the names: the reader of autoencoders counts what is beside it.
 */
export function rootsOf(names: readonly string[], part: Part): string[] {
  const all = new Set(names);
  const roots = partOutlines[part].flatMap(([first, ...others]) =>
    names.flatMap((name) => {
      const root = name.endsWith(first!) ? name.slice(0, name.length - first!.length) : undefined;
      if (root === undefined || (root !== "" && !root.endsWith("."))) return [];
      return others.every((other) => all.has(root + other)) ? [root] : [];
    }),
  );
  return [...new Set(roots.map((root) => (part === "autoencoder" ? root.replace(/first_stage_model\.$/, "") : root)))];
}

/** Whether some part of a prefix belongs to a moving average: that itself, or the weights that it follows. */
export const isOfAverage = (prefix: string): boolean => namesAverage(prefix) || /(^|[._])target([._]|$)/i.test(prefix);

/** Whether a prefix means a moving average of weights; `ema.online_model.` are the weights that one follows. */
export const isAveragedName = (prefix: string): boolean =>
  isOfAverage(prefix) && !/(^|[._])(online|source|raw)([._]|$)/i.test(prefix);
