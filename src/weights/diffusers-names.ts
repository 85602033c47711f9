/** How diffusers' `DiTTransformer2DModel` calls the weights of a DiT, and what it stores in other pieces. */

/** Layers of a block, ours → diffusers'. Attention's one qkv is three layers there. */
const blockLayers: readonly (readonly [ours: string, theirs: string])[] = [
  ["adaLN_modulation.1", "norm1.linear"],
  ["attn.proj", "attn1.to_out.0"],
  ["mlp.fc1", "ff.net.0.proj"],
  ["mlp.fc2", "ff.net.2"],
];

/** Layers outside of blocks. */
const outerLayers: readonly (readonly [ours: string, theirs: string])[] = [
  ["x_embedder.proj", "pos_embed.proj"],
  ["final_layer.adaLN_modulation.1", "proj_out_1"],
  ["final_layer.linear", "proj_out_2"],
];

/** The embedders of time and label, of which every block there has its own copy. */
const embedders: readonly (readonly [ours: string, theirs: string])[] = [
  ["t_embedder.mlp.0.weight", "timestep_embedder.linear_1.weight"],
  ["t_embedder.mlp.0.bias", "timestep_embedder.linear_1.bias"],
  ["t_embedder.mlp.2.weight", "timestep_embedder.linear_2.weight"],
  ["t_embedder.mlp.2.bias", "timestep_embedder.linear_2.bias"],
  ["y_embedder.embedding_table.weight", "class_embedder.embedding_table.weight"],
];

/** Where a weight of ours stands in diffusers' files. */
export type DiffusersPlace =
  /** Under another name. */
  | { readonly kind: "renamed"; readonly name: string }
  /** The same in each of these. */
  | { readonly kind: "copied"; readonly names: readonly string[] }
  /** Its rows in three parts: queries, keys, values. */
  | { readonly kind: "split"; readonly names: readonly [string, string, string] }
  /** Nowhere: it is computed from the sizes. Files of other versions may hold it under this name. */
  | { readonly kind: "computed"; readonly name: string };

/** Where diffusers keeps each weight of a DiT with this many blocks, by our names. */
export function diffusersPlaces(depth: number): ReadonlyMap<string, DiffusersPlace> {
  const blocks = Array.from({ length: depth }, (_, i) => i);
  const places = new Map<string, DiffusersPlace>([["pos_embed", { kind: "computed", name: "pos_embed.pos_embed" }]]);
  const both = (ours: string, theirs: string) => {
    for (const part of ["weight", "bias"])
      places.set(`${ours}.${part}`, { kind: "renamed", name: `${theirs}.${part}` });
  };
  for (const [ours, theirs] of outerLayers) both(ours, theirs);
  for (const [ours, theirs] of embedders) {
    places.set(ours, { kind: "copied", names: blocks.map((i) => `transformer_blocks.${i}.norm1.emb.${theirs}`) });
  }
  for (const i of blocks) {
    for (const [ours, theirs] of blockLayers) both(`blocks.${i}.${ours}`, `transformer_blocks.${i}.${theirs}`);
    for (const part of ["weight", "bias"]) {
      const [q, k, v] = ["q", "k", "v"].map((head) => `transformer_blocks.${i}.attn1.to_${head}.${part}`);
      places.set(`blocks.${i}.attn.qkv.${part}`, { kind: "split", names: [q!, k!, v!] });
    }
  }
  return places;
}

/** Whether these are weights of diffusers' DiT, by their names. */
export function hasDiffusersNames(names: Iterable<string>): boolean {
  for (const name of names) if (/^transformer_blocks\.\d+\.norm1\.emb\./.test(name)) return true;
  return false;
}

/** How many blocks the names count. */
export function diffusersDepth(names: Iterable<string>): number {
  const blocks = new Set(Array.from(names, (name) => /^transformer_blocks\.(\d+)\./.exec(name)?.[1]));
  blocks.delete(undefined);
  return blocks.size;
}
