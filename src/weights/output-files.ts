/** Weights on their way out: tensors converted one at a time, and files that appear all together or not at all. */

import { join } from "node:path";
import { InputError } from "../array/input-error.ts";
import type { NDArray } from "../array/ndarray.ts";
import { type StoredPrecision, storedAs } from "../formats/float16.ts";
import { planShards, streamSafetensors, type WritableTensor } from "../formats/safetensors-write.ts";
import {
  type Content,
  publishDirectory,
  remove,
  requireWritableFolder,
  temporaryFolder,
  writeAtomically,
} from "../storage/atomic-write.ts";
import { exists, listFolder } from "../storage/read.ts";

/** A file of a folder that is written. */
export interface OutputFile {
  /** Below the folder. */
  readonly name: string;
  readonly content: Content;
}

/**
 * The tensors as they are read while a file is written: in another precision if one is asked for, counting what is not
 * finite, and no more once the signal is aborted.
 */
export function watchedTensors(
  tensors: Iterable<WritableTensor>,
  notFinite: Map<string, NonFinite>,
  { precision, signal }: { readonly precision?: StoredPrecision | undefined; readonly signal?: AbortSignal },
): WritableTensor[] {
  return Array.from(tensors, (tensor) => {
    const read = async () => {
      signal?.throwIfAborted();
      const values = await tensor.read();
      notFinite.set(tensor.name, countNonFinite(values));
      return values;
    };
    return precision ? storedAs({ ...tensor, read }, precision) : { ...tensor, read };
  });
}

/** Safetensors called `stem`, as one file or as several with their index. */
export function safetensorsFiles(
  tensors: Iterable<WritableTensor>,
  metadata: Readonly<Record<string, string>>,
  { shardBytes, stem }: { readonly shardBytes: number; readonly stem: string },
): OutputFile[] {
  const { shards, index } = planShards(tensors, shardBytes, stem);
  const files = shards.map((shard) => ({ name: shard.name, content: streamSafetensors(shard.tensors, metadata) }));
  return index ? [...files, { name: index.name, content: index.text }] : files;
}

/** @throws InputError if something is there already, as a folder of weights is never mixed with another, or none can be made. */
export function requireNewFolder(path: string): void {
  requireWritableFolder(path);
  if (!exists(path) || listFolder(path).length === 0) return;
  throw new InputError(
    `cannot write ${path}: expected a new or empty folder, found one that is not empty; choose another \`out\``,
  );
}

/** Writes all files into a folder that becomes visible when the last one is whole. @throws InputError if the disk refuses. */
export async function writeFolder(path: string, files: readonly OutputFile[]): Promise<void> {
  requireNewFolder(path);
  const temporary = temporaryFolder(path);
  try {
    for (const { name, content } of files) await writeAtomically(join(temporary, name), content);
    await publishDirectory(temporary, path);
  } catch (error) {
    remove(temporary);
    throw error;
  }
}

/** Elements that are not finite. */
export interface NonFinite {
  readonly nan: number;
  readonly infinite: number;
}

/** Counts over the stored bits, so that halves need not be widened. */
export function countNonFinite({ dtype, data }: NDArray): NonFinite {
  if (dtype === "float16") return countBits(data as Uint16Array, 0x7c00);
  if (dtype === "bfloat16") return countBits(data as Uint16Array, 0x7f80);
  if (dtype !== "float32" && dtype !== "float64") return { nan: 0, infinite: 0 };
  let [nan, infinite] = [0, 0];
  const values = data as Float32Array | Float64Array;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (Number.isFinite(value)) continue;
    if (Number.isNaN(value)) nan++;
    else infinite++;
  }
  return { nan, infinite };
}

/** Halves whose exponent bits are all set. */
function countBits(bits: Uint16Array, exponent: number): NonFinite {
  let [nan, infinite] = [0, 0];
  for (let i = 0; i < bits.length; i++) {
    const magnitude = bits[i]! & 0x7fff;
    if (magnitude > exponent) nan++;
    else if (magnitude === exponent) infinite++;
  }
  return { nan, infinite };
}

const shown = 8;

/** `weights that are not finite: a (3 NaN), b (1 infinite)`; undefined if all are. */
export function nonFiniteText(found: ReadonlyMap<string, NonFinite>): string | undefined {
  const each = Array.from(found, ([name, { nan, infinite }]) => {
    const counts = [...(nan > 0 ? [`${nan} NaN`] : []), ...(infinite > 0 ? [`${infinite} infinite`] : [])];
    return counts.length > 0 ? `${name} (${counts.join(", ")})` : "";
  }).filter(Boolean);
  if (each.length === 0) return undefined;
  const rest = each.length > shown ? ` and ${each.length - shown} more tensors` : "";
  return `weights that are not finite: ${each.slice(0, shown).join(", ")}${rest}`;
}
