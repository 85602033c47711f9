/** Reading weights that are spread over several files, by their index; the index is hostile input. */

import { InputError, isObject, quote } from "../array/input-error.ts";
import { openSafetensors } from "./safetensors.ts";
import { duplicateKey } from "./safetensors-header.ts";
import { openTorch } from "./torch/open-torch.ts";
import type { ByteSource, StoredTensor, WeightFile } from "./weight-file.ts";

/** An index that was checked: every tensor's file is a plain name beside the index. */
interface ShardIndex {
  readonly fileOf: ReadonlyMap<string, string>;
  /** The files, each once, in the order of the index. */
  readonly files: readonly string[];
  /** `metadata.total_size`, if the index says it. */
  readonly totalSize?: number;
  /** The other texts of `metadata`; an object without prototype. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** The tensors of all files together. */
export interface ShardedWeights extends WeightFile {
  /** What is odd but harmless, for people: a wrong total size, files that disagree in their metadata. */
  readonly notes: readonly string[];
}

/**
 * Opens all files of an index and reads their headers; `openSibling` opens a file beside the index, and the
 * caller closes what it opened. Tensors are in the order of the files, and within each in file order.
 * `where` names the index in errors.
 * @throws InputError for a damaged index or file, a tensor that is not in the file the index names, or one in a file
 *   that the index does not name for it.
 */
export async function openShardedWeights(
  indexText: string,
  openSibling: (name: string) => Promise<ByteSource>,
  where = "index",
): Promise<ShardedWeights> {
  const index = parseShardIndex(indexText, where);
  const tensors = new Map<string, StoredTensor>();
  const unreadable = new Map<string, string>();
  const notes: string[] = [];
  const metadata: Record<string, string> = Object.assign(Object.create(null), index.metadata);
  let total = 0;
  let kind = "";
  for (const file of index.files) {
    const source = await openSibling(file);
    const shard = file.endsWith(".bin") ? await openTorch(source) : await openSafetensors(source);
    kind = shard.format;
    for (const name of [...shard.tensors.keys(), ...shard.unreadable.keys()]) {
      const named = index.fileOf.get(name);
      if (named === undefined)
        throw new InputError(`${where}: ${file} holds tensor ${quote(name)}, which is not in the index`);
      if (named !== file) {
        throw new InputError(`${where}: ${file} holds tensor ${quote(name)}, which the index places in ${named}`);
      }
    }
    for (const [name, tensor] of shard.tensors) {
      tensors.set(name, tensor);
      total += tensor.location?.byteLength ?? 0;
    }
    for (const [name, reason] of shard.unreadable) unreadable.set(name, reason);
    for (const [key, text] of Object.entries(shard.metadata)) {
      metadata[key] ??= text;
      if (metadata[key] !== text) notes.push(`${file} says another ${quote(key)} than the files before`);
    }
  }
  for (const [name, file] of index.fileOf) {
    if (!tensors.has(name) && !unreadable.has(name))
      throw new InputError(`${where}: tensor ${quote(name)} is missing in ${file}`);
  }
  if (index.totalSize !== undefined && index.totalSize !== total && unreadable.size === 0) {
    notes.push(`total_size is ${index.totalSize}, the tensors have ${total} bytes`);
  }
  const format = `${kind} (${index.files.length} ${index.files.length === 1 ? "file" : "files"})`;
  return { format, tensors, unreadable, metadata, notes };
}

/**
 * Parses `model.safetensors.index.json`, or the older `pytorch_model.bin.index.json`.
 * @throws InputError if it is not an index, or names a file that is not a plain name ending in `.safetensors` or `.bin`.
 */
export function parseShardIndex(text: string, where = "index"): ShardIndex {
  const { metadata: given, weight_map: map } = parseRoot(text, where);
  if (!isObject(map)) throw new InputError(`${where}: expected weight_map, an object from tensors to files`);
  const fileOf = new Map<string, string>();
  for (const [name, file] of Object.entries(map)) {
    checkFileName(file, `${where}: tensor ${quote(name)}`);
    fileOf.set(name, file);
  }
  if (fileOf.size === 0) throw new InputError(`${where}: weight_map names no tensors`);
  if (given !== undefined && given !== null && !isObject(given))
    throw new InputError(`${where}: metadata must be an object`);
  const metadata: Record<string, string> = Object.create(null);
  for (const [key, value] of Object.entries(given ?? {})) if (typeof value === "string") metadata[key] = value;
  const { total_size: total } = (given ?? {}) as { total_size?: unknown };
  const checked = { fileOf, files: [...new Set(fileOf.values())], metadata };
  return typeof total === "number" ? { ...checked, totalSize: total } : checked;
}

function parseRoot(text: string, where: string): { metadata?: unknown; weight_map?: unknown } {
  let root: unknown;
  try {
    root = JSON.parse(text);
  } catch {
    throw new InputError(`${where}: not valid JSON`);
  }
  if (!isObject(root)) throw new InputError(`${where}: expected an object with weight_map, found ${quote(root)}`);
  const twice = duplicateKey(text);
  if (twice !== undefined) throw new InputError(`${where}: names ${quote(twice)} twice`);
  return root;
}

/** Anything but a plain name could reach a file elsewhere; colons are drives and streams on Windows. */
function checkFileName(file: unknown, where: string): asserts file is string {
  const plain = typeof file === "string" && file.length <= 255 && /^[^/\\:\p{Cc}]+\.(safetensors|bin)$/u.test(file);
  if (!plain) {
    throw new InputError(
      `${where}: expected the name of a .safetensors file or .bin beside the index, without a folder, found ${quote(file)}`,
    );
  }
}
