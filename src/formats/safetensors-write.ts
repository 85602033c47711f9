/** Writing safetensors: from arrays in memory, or as a stream of tensors that are read one at a time. */

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
 * @throws RangeError if a name stands twice or is `__metadata__`, or a tensor is not what it said; errors of `read`.
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
      const [said, found] = [`${dtype} [${shape}]`, `${array.dtype} [${array.shape}]`];
      throw new RangeError(`safetensors: tensor ${name} was announced as ${said}, its values are ${found}`);
    }
    yield bytesOf(array);
  }
}

/** Bytes of a tensor's elements. */
export function storedBytes({ dtype, shape }: Described): number {
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
