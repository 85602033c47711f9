/** Writing state dicts as `torch.save` does, for `torch.load(path, weights_only=True)`. */

import { type NDArray, sizeOf } from "../../array/ndarray.ts";
import { bytesOf } from "../raw-array.ts";
import type { StoredTensor } from "../weight-file.ts";
import { crc32 } from "../zip/crc32.ts";
import { littleEndian, ZipWriter } from "../zip/zip-writer.ts";
import { storageTypeOf } from "./torch-container.ts";

/** A tensor to be written, whose values are read when its turn comes. */
export type TensorToWrite = Pick<StoredTensor, "dtype" | "shape" | "read">;

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/**
 * The bytes of a `.pt` file in chunks: an OrderedDict of the tensors in their order, each contiguous and uncompressed.
 * Nothing is copied; zip64 is used where a tensor or the file needs it.
 */
export function* encodeTorch(tensors: ReadonlyMap<string, NDArray>): Generator<Uint8Array> {
  const zip = new ZipWriter();
  yield* beginning(zip, tensors);
  let key = 0;
  for (const array of tensors.values()) yield* entry(zip, `data/${key++}`, bytesOf(array));
  yield* ending(zip);
}

/** The same file from tensors that are read one after the other, so that only one of them is in memory. */
export async function* encodeTorchStream(tensors: ReadonlyMap<string, TensorToWrite>): AsyncGenerator<Uint8Array> {
  const zip = new ZipWriter();
  yield* beginning(zip, tensors);
  let key = 0;
  for (const tensor of tensors.values()) yield* entry(zip, `data/${key++}`, bytesOf(await tensor.read()));
  yield* ending(zip);
}

function* beginning(zip: ZipWriter, tensors: ReadonlyMap<string, TensorShape>): Generator<Uint8Array> {
  yield* entry(zip, "data.pkl", pickleStateDict(tensors));
  yield* entry(zip, "byteorder", utf8("little"));
}

function* ending(zip: ZipWriter): Generator<Uint8Array> {
  yield* entry(zip, "version", utf8("3\n"));
  yield zip.end();
}

/** An entry in the folder that torch makes where the file has no name. */
function* entry(zip: ZipWriter, name: string, bytes: Uint8Array): Generator<Uint8Array> {
  yield zip.header({ name: `archive/${name}`, byteLength: bytes.length, crc32: crc32(bytes) });
  if (bytes.length > 0) yield bytes;
}

/** What a pickle says of a tensor. */
type TensorShape = Pick<StoredTensor, "dtype" | "shape">;

/** The pickle of an `OrderedDict` of contiguous tensors, in protocol 2; the k-th tensor has storage `k` for itself. */
function pickleStateDict(tensors: ReadonlyMap<string, TensorShape>): Uint8Array {
  const out = new PickleWriter();
  out.bytes(0x80, 2);
  out.emptyDictionary();
  out.bytes(0x28); // MARK
  let key = 0;
  for (const [name, tensor] of tensors) {
    out.text(name);
    writeTensor(out, tensor, `${key++}`);
  }
  out.bytes(0x75, 0x2e); // SETITEMS, STOP
  return Uint8Array.from(out.result);
}

/** `_rebuild_tensor_v2(storage, 0, shape, strides, requires_grad=False, backward_hooks=OrderedDict())`. */
function writeTensor(out: PickleWriter, { dtype, shape }: TensorShape, key: string): void {
  out.global("torch._utils", "_rebuild_tensor_v2");
  out.bytes(0x28, 0x28); // MARK, MARK
  out.text("storage");
  out.global("torch", storageTypeOf.get(dtype)!);
  out.text(key);
  out.text("cpu");
  out.integer(sizeOf(shape));
  out.bytes(0x74, 0x51); // TUPLE, BINPERSID
  out.integer(0);
  out.integers(shape);
  out.integers(shape.map((_, axis) => sizeOf(shape.slice(axis + 1)) || 1));
  out.bytes(0x89); // NEWFALSE
  out.emptyDictionary();
  out.bytes(0x74, 0x52); // TUPLE, REDUCE
}

/** The instructions that `torch.save` uses. */
class PickleWriter {
  readonly result: number[] = [];
  readonly #globals = new Map<string, number>();

  bytes(...values: readonly number[]): void {
    for (const value of values) this.result.push(value);
  }

  emptyDictionary(): void {
    this.global("collections", "OrderedDict");
    this.bytes(0x29, 0x52); // EMPTY_TUPLE, REDUCE
  }

  text(text: string): void {
    const bytes = utf8(text);
    this.bytes(0x58, ...littleEndian(4, bytes.length)); // BINUNICODE
    for (const byte of bytes) this.result.push(byte);
  }

  /** Names a class or function once, and recalls it from the memo from then on. */
  global(module: string, name: string): void {
    const text = `${module}\n${name}\n`;
    const index = this.#globals.get(text);
    if (index !== undefined) {
      this.bytes(0x68, index); // BINGET; there are few of them
      return;
    }
    this.bytes(0x63, ...utf8(text), 0x71, this.#globals.size); // GLOBAL, BINPUT
    this.#globals.set(text, this.#globals.size);
  }

  integers(values: readonly number[]): void {
    this.bytes(0x28); // MARK
    for (const value of values) this.integer(value);
    this.bytes(0x74); // TUPLE
  }

  /** A non-negative integer. */
  integer(value: number): void {
    if (value < 2 ** 8)
      this.bytes(0x4b, value); // BININT1
    else if (value < 2 ** 31)
      this.bytes(0x4a, ...littleEndian(4, value)); // BININT
    else this.bytes(0x8a, 8, ...littleEndian(8, value)); // LONG1
  }
}
