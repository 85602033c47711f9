/** Writing safetensors: from arrays in memory, as a stream of tensors that are read one at a time, in one file or several. */

import { quote } from "../array/input-error.ts";
import { bytesPerElement, type DType, type NDArray, sizeOf } from "../array/ndarray.ts";
import { bytesOf } from "./raw-array.ts";
import { dtypeOfCode } from "./safetensors-header.ts";
import type { StoredTensor } from "./weight-file.ts";

/** What can be written: a tensor of any file, or one that is computed when it is read. */
export type WritableTensor = Pick<StoredTensor, "name" | "dtype" | "shape" | "read">;

type Described = Pick<StoredTensor, "name" | "dtype" | "shape">;
type Metadata = Readonly<Record<string, string>>;

/**
 * The bytes of a file, in chunks: the header, then each tensor's own bytes without a copy.
 * The same tensors and metadata give the same bytes, in whatever order they are given: wider element types come
 * first and names are sorted among equals, so that every tensor is aligned in a format that allows no gaps;
 * the header is padded with spaces to a multiple of 8.
 * @throws RangeError if a tensor is called `__metadata__`.
 */
export function* encodeSafetensors(
  tensors: ReadonlyMap<string, NDArray>,
  metadata: Metadata = {},
): Generator<Uint8Array> {
  const sorted = inFileOrder([...tensors].map(([name, { dtype, shape }]) => ({ name, dtype, shape })));
  yield encodeHeader(sorted, metadata);
  for (const { name } of sorted) yield bytesOf(tensors.get(name)!);
}

/**
 * The same bytes as `encodeSafetensors`, from tensors that are read one after the other while the file is written: no
 * more than one of them is in memory.
 * @throws RangeError if a name is there twice or is `__metadata__`, or a tensor is not as described; errors of `read`.
 */
export async function* streamSafetensors(
  tensors: Iterable<WritableTensor>,
  metadata: Metadata = {},
): AsyncGenerator<Uint8Array> {
  const sorted = inFileOrder([...tensors]);
  yield encodeHeader(sorted, metadata);
  for (const { name, dtype, shape, read } of sorted) {
    const array = await read();
    if (array.dtype !== dtype || String(array.shape) !== String(shape)) {
      const [described, found] = [`${dtype} [${shape}]`, `${array.dtype} [${array.shape}]`];
      throw new RangeError(`safetensors: tensor ${name} is described as ${described}, its values are ${found}`);
    }
    yield bytesOf(array);
  }
}

/** Bytes of a tensor's elements. */
function storedBytes({ dtype, shape }: Described): number {
  return bytesPerElement(dtype) * sizeOf(shape);
}

const byName = (a: string, b: string) => (a < b ? -1 : 1);

function inFileOrder<T extends Described>(tensors: readonly T[]): T[] {
  const names = new Set<string>();
  for (const { name } of tensors) {
    if (name === "__metadata__") throw new RangeError("safetensors: a tensor cannot be called __metadata__");
    if (names.has(name)) throw new RangeError(`safetensors: two tensors are called ${name}`);
    names.add(name);
  }
  const width = ({ dtype }: Described) => bytesPerElement(dtype);
  return [...tensors].sort((a, b) => width(b) - width(a) || byName(a.name, b.name));
}

const codeOfDtype = new Map<DType, string>([...dtypeOfCode].map(([code, dtype]) => [dtype, code]));

/** The length and the header of a file with these tensors in this order. */
function encodeHeader(tensors: readonly Described[], metadata: Metadata): Uint8Array {
  const notes = Object.entries(metadata).sort(([a], [b]) => byName(a, b));
  // Written by hand: an object would reorder names like "0" and lose "__proto__".
  const fields =
    notes.length > 0 ? [`"__metadata__":{${notes.map((note) => note.map((s) => JSON.stringify(s)).join(":"))}}`] : [];
  let offset = 0;
  for (const tensor of tensors) {
    const { name, dtype, shape } = tensor;
    const end = offset + storedBytes(tensor);
    const place = `"data_offsets":[${offset},${end}]`;
    fields.push(`${JSON.stringify(name)}:{"dtype":"${codeOfDtype.get(dtype)}","shape":[${shape}],${place}}`);
    offset = end;
  }
  const header = new TextEncoder().encode(`{${fields}}`);
  const padded = new Uint8Array(8 + Math.ceil(header.length / 8) * 8).fill(0x20);
  new DataView(padded.buffer).setBigUint64(0, BigInt(padded.length - 8), true);
  padded.set(header, 8);
  return padded;
}

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
 * @throws RangeError if a name is there twice or `shardBytes` is not positive.
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
