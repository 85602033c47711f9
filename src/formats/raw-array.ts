/** Arrays over raw bytes, in whichever byte order and with whichever strides a file keeps them. */

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

/** Whether the strides are those of a dense, row-major array; those of axes of length 1 mean nothing. */
export function isDense(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}

/** Elements from the first to the last that a view means, both included; 0 for an empty one. */
export function spanOf(shape: readonly number[], strides: readonly number[]): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((span, length, axis) => span + (length - 1) * strides[axis]!, 1);
}

const wordsOf = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: BigUint64Array } as const;

/**
 * The elements of a view, row-major. `bytes` are those of its span, elements of 1, 2, 4 or 8 bytes.
 * They are copied as integers, so that every NaN keeps its bits.
 */
export function gather(
  bytes: Uint8Array,
  width: number,
  shape: readonly number[],
  strides: readonly number[],
): Uint8Array<ArrayBuffer> {
  const Words = wordsOf[width as keyof typeof wordsOf];
  const own = bytes.byteOffset % width === 0 ? bytes : Uint8Array.from(bytes);
  const from = new Words(own.buffer as ArrayBuffer, own.byteOffset, own.length / width);
  const count = shape.reduce((product, length) => product * length, 1);
  const to = new Words(count);
  const rank = shape.length;
  const inner = shape[rank - 1] ?? 1;
  const step = strides[rank - 1] ?? 1;
  const index = new Array<number>(rank).fill(0); // of the row that is being copied
  let row = 0;
  for (let at = 0; at < count; ) {
    for (let k = 0; k < inner; k++) to[at++] = from[row + k * step]!;
    for (let axis = rank - 2; axis >= 0; axis--) {
      row += strides[axis]!;
      index[axis]!++;
      if (index[axis]! < shape[axis]!) break;
      row -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return new Uint8Array(to.buffer as ArrayBuffer);
}
