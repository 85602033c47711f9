/** Writing state dicts as `torch.save` does, for `torch.load(path, weights_only=True)`. */

import type { NDArray } from "../../array/ndarray.ts";
import { bytesOf } from "../raw-array.ts";
import type { StoredTensor } from "../weight-file.ts";
import { crc32 } from "../zip/crc32.ts";
import { type ZipContent, ZipWriter } from "../zip/zip-writer.ts";
import { pickleStateDict, type TensorShape } from "./pickle-writer.ts";

/** A tensor to be written, whose values are asked for when its turn comes. */
export type TensorToWrite = Pick<StoredTensor, "dtype" | "shape" | "read">;

const folder = "archive"; // what torch calls it where the file has no name

/**
 * The bytes of a `.pt` file in chunks: an OrderedDict of the tensors in their order, each contiguous and uncompressed.
 * Nothing is copied; zip64 is used where a tensor or the file needs it.
 */
export function* encodeTorch(tensors: ReadonlyMap<string, NDArray>): Generator<Uint8Array> {
  const zip = new ZipWriter();
  yield* beginning(zip, tensors);
  let key = 0;
  for (const array of tensors.values()) yield* zip.entry(content(`data/${key++}`, bytesOf(array)));
  yield* ending(zip);
}

/** The same file from tensors that are read one after the other, so that only one of them is in memory. */
export async function* encodeTorchStream(tensors: ReadonlyMap<string, TensorToWrite>): AsyncGenerator<Uint8Array> {
  const zip = new ZipWriter();
  yield* beginning(zip, tensors);
  let key = 0;
  for (const tensor of tensors.values()) yield* zip.entry(content(`data/${key++}`, bytesOf(await tensor.read())));
  yield* ending(zip);
}

function* beginning(zip: ZipWriter, tensors: ReadonlyMap<string, TensorShape>): Generator<Uint8Array> {
  yield* zip.entry(content("data.pkl", pickleStateDict(tensors)));
  yield* zip.entry(content("byteorder", new TextEncoder().encode("little")));
}

function* ending(zip: ZipWriter): Generator<Uint8Array> {
  yield* zip.entry(content("version", new TextEncoder().encode("3\n")));
  yield* zip.end();
}

function content(name: string, bytes: Uint8Array): ZipContent {
  return { name: `${folder}/${name}`, byteLength: bytes.length, crc32: crc32(bytes), chunks: [bytes] };
}
