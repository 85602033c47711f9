/** Torch's names of element types: of typed storages and of dtypes, and ours. */

import type { DType } from "../../array/ndarray.ts";

interface StorageType {
  /** `null` for types that have none here. */
  readonly dtype: DType | null;
  /** Bytes of one element. */
  readonly width: number;
}

const known = (dtype: DType, width: number): StorageType => ({ dtype, width });
const foreign = (width: number): StorageType => ({ dtype: null, width });

/** By the name of the class in `torch`. */
export const storageTypes: ReadonlyMap<string, StorageType> = new Map([
  ["FloatStorage", known("float32", 4)],
  ["DoubleStorage", known("float64", 8)],
  ["HalfStorage", known("float16", 2)],
  ["BFloat16Storage", known("bfloat16", 2)],
  ["LongStorage", known("int64", 8)],
  ["IntStorage", known("int32", 4)],
  ["ShortStorage", known("int16", 2)],
  ["CharStorage", known("int8", 1)],
  ["ByteStorage", known("uint8", 1)],
  ["BoolStorage", known("bool", 1)],
  ["ComplexFloatStorage", foreign(8)],
  ["ComplexDoubleStorage", foreign(16)],
  ["QInt8Storage", foreign(1)],
  ["QUInt8Storage", foreign(1)],
  ["QInt32Storage", foreign(4)],
  ["UntypedStorage", foreign(1)],
]);

/** The storage class of each of our element types; the names `torch.save` writes. */
export const storageTypeOf: ReadonlyMap<DType, string> = new Map(
  [...storageTypes].flatMap(([name, { dtype }]): [DType, string][] => (dtype ? [[dtype, name]] : [])),
);
