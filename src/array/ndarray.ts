/** Concrete numbers on the host: a typed array with a shape. Symbolic numbers are `graph/Tensor`. */

/** Element types. `float16`, `bfloat16` hold raw bits and exist for storage only; the graph computes in the others. */
export type DType =
  | "float32"
  | "float64"
  | "float16"
  | "bfloat16"
  | "int8"
  | "int16"
  | "int32"
  | "int64"
  | "uint8"
  | "bool";

const arrayTypes = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

/** The typed array that holds elements of `D`. */
export type DataOf<D extends DType> = {
  float32: Float32Array;
  float64: Float64Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
  int8: Int8Array;
  int16: Int16Array;
  int32: Int32Array;
  int64: BigInt64Array;
  uint8: Uint8Array;
  bool: Uint8Array;
}[D];

/** Bytes of one element. */
export function bytesPerElement(dtype: DType): number {
  return arrayTypes[dtype].BYTES_PER_ELEMENT;
}

/** Number of elements of a shape; 1 for a scalar `[]`. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** A new zero-filled typed array for `length` elements of `dtype`. */
export function allocate<D extends DType>(dtype: D, length: number): DataOf<D> {
  return new arrayTypes[dtype](length) as DataOf<D>;
}

/** A typed array over the bytes `[byteOffset, byteOffset + length · size)` of `buffer`, without a copy. */
export function viewOf<D extends DType>(dtype: D, buffer: ArrayBuffer, byteOffset: number, length: number): DataOf<D> {
  return new arrayTypes[dtype](buffer, byteOffset, length) as DataOf<D>;
}

/** A dense, row-major array. `data` may be a view into a larger buffer. */
export class NDArray<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly data: DataOf<D>;

  /** @throws RangeError if `data` does not hold exactly the elements of `shape`. */
  constructor(dtype: D, shape: readonly number[], data: DataOf<D>) {
    if (data.length !== sizeOf(shape)) {
      throw new RangeError(`NDArray of shape [${shape}] needs ${sizeOf(shape)} elements, got ${data.length}`);
    }
    if (!(data instanceof arrayTypes[dtype])) {
      throw new TypeError(`NDArray of ${dtype} needs a ${arrayTypes[dtype].name}, got ${data.constructor.name}`);
    }
    this.dtype = dtype;
    this.shape = shape;
    this.data = data;
  }

  get size(): number {
    return this.data.length;
  }

  get byteLength(): number {
    return this.data.byteLength;
  }

  /** The same elements under another shape. */
  reshape(shape: readonly number[]): NDArray<D> {
    return new NDArray(this.dtype, shape, this.data);
  }

  /** Rows `[start, end)` of the first axis, as a view. */
  rows(start: number, end: number): NDArray<D> {
    const stride = sizeOf(this.shape.slice(1));
    const data = this.data.subarray(start * stride, end * stride) as DataOf<D>;
    return new NDArray(this.dtype, [end - start, ...this.shape.slice(1)], data);
  }
}

/** The rows of all arrays, one behind the other; there is at least one, and their other axes are equal. */
export function stackedRows<D extends DType>(arrays: readonly NDArray<D>[]): NDArray<D> {
  const { dtype, shape } = arrays[0]!;
  const data = allocate(
    dtype,
    arrays.reduce((sum, { size }) => sum + size, 0),
  );
  let offset = 0;
  for (const array of arrays) {
    (data as Float32Array).set(array.data as Float32Array, offset);
    offset += array.size;
  }
  const rows = arrays.reduce((sum, array) => sum + (array.shape[0] ?? 1), 0);
  return new NDArray(dtype, [rows, ...shape.slice(1)], data);
}

/** A float32 array from numbers; `shape` defaults to one axis. */
export function float32(values: ArrayLike<number>, shape: readonly number[] = [values.length]): NDArray<"float32"> {
  return new NDArray("float32", shape, values instanceof Float32Array ? values : Float32Array.from(values));
}

/** An int32 array from numbers; `shape` defaults to one axis. */
export function int32(values: ArrayLike<number>, shape: readonly number[] = [values.length]): NDArray<"int32"> {
  return new NDArray("int32", shape, values instanceof Int32Array ? values : Int32Array.from(values));
}

/** A zero-filled array. */
export function zeros<D extends DType>(dtype: D, shape: readonly number[]): NDArray<D> {
  return new NDArray(dtype, shape, allocate(dtype, sizeOf(shape)));
}
