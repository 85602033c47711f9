/** What every format of weights offers: named tensors, each read when it is asked for, from bytes of any source. */

import { bytesPerElement, type DType, type NDArray } from "../array/ndarray.ts";

/** Where the elements of a tensor are, dense and in row-major order, just as they are stored. */
export interface TensorLocation {
  readonly source: ByteSource;
  /** First byte, counted from the start of the source. */
  readonly offset: number;
  readonly byteLength: number;
}

/** One tensor of a file. */
export interface StoredTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Undefined where the elements are not together: strided views, compressed entries. */
  readonly location?: TensorLocation;
  /**
   * Bytes `[offset, offset + length)` of its elements, little-endian and row-major, in bounded memory; undefined where a
   * format has no way to do so. In order it is fast; a range before that of last time may start over.
   * @throws InputError if the file is damaged there.
   */
  readonly readRange?: (offset: number, length: number) => Promise<Uint8Array>;
  /** Its values, read now and kept by nobody else. @throws InputError if the file is damaged there. */
  read(): Promise<NDArray>;
}

/** Whether the bytes of this tensor can be computed with as they are in the file. */
export function isMappable({ dtype, location }: StoredTensor): boolean {
  const isFloat = dtype === "float32" || dtype === "float16" || dtype === "bfloat16";
  return isFloat && location?.source.path !== undefined && location.offset % bytesPerElement(dtype) === 0;
}

/** The tensors of a file, or of several files that belong together. */
export interface WeightFile {
  /** In a few words for people: `safetensors`, `PyTorch (zip)`, `PyTorch (legacy)`, `npz`. */
  readonly format: string;
  /** In file order. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Tensors that are of a kind that is not read, by name, each with a text that says so: `has elements of U32, …`. */
  readonly unreadable: ReadonlyMap<string, string>;
  /** What the file says besides; an object without prototype. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Random access to bytes; `storage/openByteRanges` gives one for a file. */
export interface ByteSource {
  /** A path or address for error messages. */
  readonly name?: string;
  /** The file that holds the bytes, if one does: an engine may map them instead of reading. */
  readonly path?: string;
  /** Bytes in all. */
  readonly size: number;
  /** Bytes `[offset, offset + length)`; the caller may keep and change them. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** A source over bytes in memory; each read copies its range. */
export function bytesInMemory(bytes: Uint8Array, name?: string): ByteSource {
  const read = async (offset: number, length: number) => bytes.slice(offset, offset + length);
  return name === undefined ? { size: bytes.length, read } : { name, size: bytes.length, read };
}
