/** Writing large weights as several safetensors files and an index, as Hugging Face's libraries name and read them. */

import { quote } from "./safetensors-header.ts";
import { storedBytes, type WritableTensor } from "./safetensors-write.ts";

/** One file of the plan. */
export interface Shard<T> {
  readonly name: string;
  /** Its tensors, in the order they were given. */
  readonly tensors: readonly T[];
  /** Bytes of its elements, without the header. */
  readonly byteLength: number;
}

/** Which tensor goes to which file. */
export interface ShardPlan<T> {
  readonly shards: readonly Shard<T>[];
  /** Undefined where everything fits in one file: that needs no index. */
  readonly index?: {
    readonly name: string;
    /** JSON text: `metadata.total_size` and `weight_map`, tensor → file. */
    readonly text: string;
  };
}

/** 5 GB, in powers of ten: the size at which Hugging Face's libraries split. */
export const shardBytesDefault = 5e9;

/**
 * Spreads tensors over files of at most `shardBytes` of elements, in the order given; a tensor larger than that has a
 * file of its own. One file is `stem.safetensors`; several are `stem-00001-of-00003.safetensors`, … with
 * `stem.safetensors.index.json` (stem: `model`, or `diffusion_pytorch_model` in a diffusers folder).
 * Each file is then written by `streamSafetensors(shard.tensors)`.
 * @throws RangeError if a name stands twice or `shardBytes` is not positive.
 */
export function planShards<T extends Pick<WritableTensor, "name" | "dtype" | "shape">>(
  tensors: Iterable<T>,
  shardBytes: number = shardBytesDefault,
  stem = "model",
): ShardPlan<T> {
  if (!(shardBytes > 0)) throw new RangeError(`shards: expected a positive number of bytes, got ${shardBytes}`);
  const groups: { tensors: T[]; byteLength: number }[] = [{ tensors: [], byteLength: 0 }];
  const seen = new Set<string>();
  for (const tensor of tensors) {
    if (seen.has(tensor.name)) throw new RangeError(`shards: two tensors are called ${quote(tensor.name)}`);
    seen.add(tensor.name);
    const bytes = storedBytes(tensor);
    if (groups.at(-1)!.tensors.length > 0 && groups.at(-1)!.byteLength + bytes > shardBytes) {
      groups.push({ tensors: [], byteLength: 0 });
    }
    const group = groups.at(-1)!;
    group.tensors.push(tensor);
    group.byteLength += bytes;
  }
  const five = (count: number) => String(count).padStart(5, "0");
  const nameOf = (at: number) =>
    groups.length === 1 ? `${stem}.safetensors` : `${stem}-${five(at + 1)}-of-${five(groups.length)}.safetensors`;
  const shards = groups.map((group, at) => ({ name: nameOf(at), ...group }));
  if (shards.length === 1) return { shards };
  return { shards, index: { name: `${stem}.safetensors.index.json`, text: indexText(shards) } };
}

/** Written by hand: an object would reorder names like "0" and lose "__proto__". */
function indexText(shards: readonly Shard<{ readonly name: string }>[]): string {
  const total = shards.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const places = shards.flatMap(({ name: file, tensors }) => tensors.map(({ name }) => [name, file] as const));
  const lines = places
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, file]) => `    ${JSON.stringify(name)}: ${JSON.stringify(file)}`);
  return `{\n  "metadata": { "total_size": ${total} },\n  "weight_map": {\n${lines.join(",\n")}\n  }\n}\n`;
}
