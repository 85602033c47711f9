/** Weights on their way out: tensors converted one at a time, and files that appear all together or not at all. */

import { join } from "node:path";
import { InputError } from "../array/input-error.ts";
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
import { countNonFinite, type NonFinite } from "./non-finite.ts";

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
