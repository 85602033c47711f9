/** The tensors of diffusers' DiT as ours, and ours as diffusers': renamed, joined and cut apart when they are read. */

import { InputError } from "../array/input-error.ts";
import { type NDArray, stackedRows } from "../array/ndarray.ts";
import { asFloat32 } from "../formats/float16.ts";
import type { WritableTensor } from "../formats/safetensors-write.ts";
import type { StoredTensor } from "../formats/weight-file.ts";
import type { DiTConfig } from "../models/dit/config.ts";
import { tokenCount } from "../models/family.ts";
import { positionEmbedding } from "../nn/embeddings.ts";

type Tensors = ReadonlyMap<string, StoredTensor>;

/** What is known of the shape before there is a configuration. */
export type PositionSizes = Pick<DiTConfig, "inputSize" | "patchSize" | "hiddenSize">;

/**
 * Diffusers' tensors under our names; those that are joined from several are read as one, and cannot be mapped. What has
 * no name of ours keeps its own, and so does what is incomplete: `checkWeights` lists it. The position embedding, which
 * diffusers computes, is computed here if `sizes` are given.
 */
export function fromDiffusers(theirs: Tensors, sizes?: PositionSizes): Map<string, StoredTensor> {
  const left = new Map(theirs);
  const ours = new Map<string, StoredTensor>();
  for (const [name, place] of diffusersPlaces(diffusersDepth(theirs.keys()))) {
    const found = gathered(name, place, theirs, sizes);
    if (!found) continue;
    ours.set(name, found);
    for (const used of namesIn(place)) left.delete(used);
  }
  return new Map([...ours, ...left]);
}

const namesIn = (place: DiffusersPlace): readonly string[] => ("names" in place ? place.names : [place.name]);

function gathered(
  name: string,
  place: DiffusersPlace,
  theirs: Tensors,
  sizes: PositionSizes | undefined,
): StoredTensor | undefined {
  const parts = namesIn(place).map((theirName) => theirs.get(theirName));
  const [first] = parts;
  if (place.kind === "computed" && !first) return sizes && computedPositions(name, sizes);
  if (!first || parts.some((part) => !part || part.dtype !== first.dtype || String(part.shape) !== String(first.shape)))
    return undefined;
  return place.kind === "split" ? joined(name, parts as StoredTensor[]) : { ...first, name };
}

function joined(name: string, parts: readonly StoredTensor[]): StoredTensor {
  const { dtype, shape } = parts[0]!;
  const whole = [parts.length * (shape[0] ?? 1), ...shape.slice(1)];
  return {
    name,
    dtype,
    shape: whole,
    read: async () => stackedRows(await Promise.all(parts.map((part) => part.read()))),
  };
}

function computedPositions(name: string, { inputSize, patchSize, hiddenSize }: PositionSizes): StoredTensor {
  const side = inputSize / patchSize;
  const read = async () => positionEmbedding(hiddenSize, side);
  return { name, dtype: "float32", shape: [1, side ** 2, hiddenSize], read };
}

/**
 * Diffusers lets the blocks' embedders differ, which a DiT has only once.
 * @throws InputError naming the first copy that is not the same.
 */
export async function requireEqualCopies(theirs: Tensors, where: string): Promise<void> {
  for (const place of diffusersPlaces(diffusersDepth(theirs.keys())).values()) {
    if (place.kind !== "copied") continue;
    const [first, ...others] = place.names;
    const expected = bytes(await theirs.get(first!)!.read());
    for (const name of others) {
      if (bytes(await theirs.get(name)!.read()).equals(expected)) continue;
      throw new InputError(
        `${where}: ${name} differs from ${first}; a DiT has one embedder for all blocks, so these weights are another model`,
      );
    }
  }
}

const bytes = ({ data }: NDArray): Buffer => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

/** Our weights as diffusers stores them; the positions, which it computes, are left out. */
export function toDiffusers(ours: Iterable<WritableTensor>, config: DiTConfig): WritableTensor[] {
  const places = diffusersPlaces(config.depth);
  return Array.from(ours).flatMap((tensor) => placed(tensor, places.get(tensor.name)!));
}

function placed(tensor: WritableTensor, place: DiffusersPlace): WritableTensor[] {
  if (place.kind === "computed") return [];
  if (place.kind === "split") return place.names.map((name, i) => third(tensor, name, i));
  return namesIn(place).map((name) => ({ ...tensor, name }));
}

/** Rows `[i/3, (i + 1)/3)` of a tensor. */
function third({ dtype, shape, read }: WritableTensor, name: string, i: number): WritableTensor {
  const rows = shape[0]! / 3;
  const part = [rows, ...shape.slice(1)];
  return { name, dtype, shape: part, read: async () => (await read()).rows(i * rows, (i + 1) * rows) };
}

/** Halves have steps of 2⁻¹¹ near 1. */
const allowed = 1e-3;

/** @throws InputError if the position embedding is not the one that diffusers computes. */
export async function requireFixedPositions(tensor: WritableTensor, config: DiTConfig, where: string): Promise<void> {
  const found = asFloat32(await tensor.read()).data;
  const expected = positionEmbedding(config.hiddenSize, Math.sqrt(tokenCount(config))).data;
  const at = found.findIndex((value, i) => !(Math.abs(value - expected[i]!) <= allowed));
  if (at < 0) return;
  throw new InputError(
    `${where}: ${tensor.name} is not the fixed embedding of positions (element ${at} is ${found[at]}, not ${expected[at]}), ` +
      "which diffusers computes itself; convert to pt or safetensors instead",
  );
}

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
