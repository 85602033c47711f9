/** The tensors of diffusers' DiT as ours, and ours as diffusers': renamed, joined and cut apart when they are read. */

import { InputError } from "../array/input-error.ts";
import { type NDArray, stackedRows } from "../array/ndarray.ts";
import { asFloat32 } from "../formats/float16.ts";
import type { WritableTensor } from "../formats/safetensors-write.ts";
import type { StoredTensor } from "../formats/weight-file.ts";
import type { DiTConfig } from "../models/dit/config.ts";
import { tokenCount } from "../models/family.ts";
import { positionEmbedding } from "../nn/embeddings.ts";
import { type DiffusersPlace, diffusersDepth, diffusersPlaces } from "./diffusers-names.ts";

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
