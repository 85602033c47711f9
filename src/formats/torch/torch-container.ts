/** What the two forms of torch files have in common: element types, storages, one unpickled value. */

import { InputError, isCount } from "../../array/input-error.ts";
import type { DType } from "../../array/ndarray.ts";
import type { ByteSource } from "../weight-file.ts";
import { kindOfValue, PickledGlobal, PickledObject, PickledStorage, type PickleValue } from "./pickle-values.ts";

/** The bytes of one storage. */
export interface StorageBytes {
  readonly byteLength: number;
  /** Where they start in the source; undefined where they are compressed. */
  readonly offset?: number;
  /** Bytes `[offset, offset + length)` of the storage. @throws InputError if the file is damaged there. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** An opened torch file. */
export interface TorchContainer {
  /** `PyTorch (zip)`, `PyTorch (legacy)`. */
  readonly format: string;
  readonly source: ByteSource;
  /** What errors call the file. */
  readonly where: string;
  readonly littleEndian: boolean;
  /** What was given to `torch.save`. */
  readonly root: PickleValue;
  /** Names of the classes and functions in it that are not known here. */
  readonly placeholders: readonly string[];
  /** @throws InputError if the file has no such storage. */
  storage(key: string): Promise<StorageBytes>;
}

/** Longest pickle that is read; the tensors' values are outside of it. */
export const longestPickle = 2 ** 26;

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

/**
 * The storage that a persistent id stands for; a placeholder for ids that are none of storages, and for storages of a
 * class that is not known. Old files name classes of whole models by ids: `("module", class, …)`.
 * @throws InputError for a storage that cannot be.
 */
export function persistentStorage(id: PickleValue, where: string): PickledStorage | PickledObject | PickledGlobal {
  const [kind = null, storageClass = null, key = null, , length = null, view = null] = Array.isArray(id) ? id : [];
  if (kind === "module" && storageClass instanceof PickledGlobal) return storageClass;
  if (kind !== "storage") return new PickledObject("a persistent id", [id]);
  const { name = "" } = storageClass instanceof PickledGlobal ? storageClass : {};
  const type = name.slice(name.lastIndexOf(".") + 1);
  if (!storageTypes.has(type)) return new PickledObject(`a storage of ${kindOfValue(storageClass)}`, []);
  if (typeof key !== "string" || !isCount(length)) {
    throw new InputError(`${where}: a storage without key or length; the file is damaged`);
  }
  if (view === null) return new PickledStorage(key, type, length);
  const [, offset = null, viewLength = null] = Array.isArray(view) ? view : [];
  if (!isCount(offset) || !isCount(viewLength) || offset + viewLength > length) {
    throw new InputError(
      `${where}: a view of storage ${JSON.stringify(key.slice(0, 100))} beyond its end; the file is damaged`,
    );
  }
  return new PickledStorage(key, type, length, { offset, length: viewLength });
}
