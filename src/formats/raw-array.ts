/** Arrays over raw bytes, in whichever byte order a file keeps them. */

import { bytesPerElement, type DType, NDArray, sizeOf, viewOf } from "../array/ndarray.ts";

/**
 * The array whose elements are `bytes`, row-major: a view where aligned, a copy elsewhere.
 * Big-endian bytes are turned around in place first.
 */
export function arrayOver(dtype: DType, shape: readonly number[], bytes: Uint8Array, littleEndian = true): NDArray {
  const width = bytesPerElement(dtype);
  if (!littleEndian) reverseElements(bytes, width);
  const aligned = bytes.byteOffset % width === 0 && bytes.buffer instanceof ArrayBuffer;
  const own = (aligned ? bytes : Uint8Array.from(bytes)) as Uint8Array<ArrayBuffer>;
  return new NDArray(dtype, shape, viewOf(dtype, own.buffer, own.byteOffset, sizeOf(shape)));
}

/** The bytes of an array, without a copy. */
export function bytesOf({ data }: NDArray): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Turns each element of `width` bytes around, in place. */
function reverseElements(bytes: Uint8Array, width: number): void {
  if (width === 1) return;
  for (let at = 0; at + width <= bytes.length; at += width) bytes.subarray(at, at + width).reverse();
}
