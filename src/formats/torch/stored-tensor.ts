/** From torch's description of a tensor to one that can be read: checked against its storage. */

import { InputError } from "../../array/input-error.ts";
import { bytesPerElement, type DType, sizeOf } from "../../array/ndarray.ts";
import { arrayOver } from "../raw-array.ts";
import { gather, isDense, spanOf } from "../strided.ts";
import type { StoredTensor } from "../weight-file.ts";
import { quote } from "../zip/zip-directory.ts";
import { isCount } from "./persistent-storage.ts";
import { kindOfValue, PickledGlobal, PickledStorage, type PickledTensor, type PickleValue } from "./pickle-values.ts";
import { storageTypeOf, storageTypes } from "./storage-types.ts";
import type { StorageBytes, TorchContainer } from "./torch-container.ts";

const highestRank = 64;
const largestExpanded = 2 ** 24; // bytes that a view may have beyond what the file holds

/** A view of a storage, checked. */
interface View {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  /** First byte within the storage. */
  readonly start: number;
  /** Bytes from the first to the last element. */
  readonly span: number;
}

/** The tensor as the file's other readers offer it. @throws InputError naming it if it is no view of its storage. */
export async function storedTensor(
  name: string,
  tensor: PickledTensor,
  container: TorchContainer,
): Promise<StoredTensor> {
  const label = `${container.where}: tensor ${quote(name)}`;
  const { storage } = tensor;
  if (!(storage instanceof PickledStorage)) throw new InputError(`${label} is a view of ${kindOfValue(storage)}`);
  const bytes = await container.storage(storage.key);
  const view = checkedView(tensor, storage, bytes, label);
  const { dtype, shape, strides, start, span } = view;
  const width = bytesPerElement(dtype);
  const dense = isDense(shape, strides) || span === 0;
  if (!dense && sizeOf(shape) * width > Math.max(largestExpanded, container.source.size)) {
    throw new InputError(`${label} repeats ${span} bytes to fill [${shape}]; refused, save it with .contiguous()`);
  }
  const read = async () => {
    const found = await bytes.read(start, span);
    return arrayOver(dtype, shape, dense ? found : gather(found, width, shape, strides), container.littleEndian);
  };
  if (!dense || bytes.offset === undefined || !container.littleEndian) return { name, dtype, shape, read };
  const place = { source: container.source, offset: bytes.offset + start, byteLength: span };
  return { name, dtype, shape, place, read };
}

function checkedView(tensor: PickledTensor, storage: PickledStorage, bytes: StorageBytes, label: string): View {
  const dtype = dtypeOf(tensor, storage, label);
  const { offset, shape, strides } = tensor;
  if (!isCount(offset) || !isCounts(shape) || !isCounts(strides) || shape.length !== strides.length) {
    throw new InputError(`${label}: expected an offset, sizes and as many strides, found others; the file is damaged`);
  }
  if (shape.length > highestRank || !Number.isSafeInteger(sizeOf(shape))) {
    throw new InputError(`${label} has ${shape.length} axes and ${sizeOf(shape)} elements; the file is damaged`);
  }
  const width = bytesPerElement(dtype);
  const unit = storage.type === "UntypedStorage" ? 1 : width; // in which the storage counts
  const viewStart = storage.view.offset * unit;
  const viewEnd = Math.min(bytes.byteLength, viewStart + storage.view.length * unit);
  const span = spanOf(shape, strides) * width;
  const start = viewStart + offset * width;
  if (span > 0 && start + span > viewEnd) {
    throw new InputError(
      `${label} needs bytes ${start} to ${start + span} of storage ${quote(storage.key)}, which ends at ${viewEnd}; is the file damaged?`,
    );
  }
  // Copies: the arrays of a pickle may be shared by many tensors and changed by whoever gets them.
  return { dtype, shape: [...shape], strides: [...strides], start: span > 0 ? start : 0, span };
}

function dtypeOf(tensor: PickledTensor, storage: PickledStorage, label: string): DType {
  const named = tensor.dtype instanceof PickledGlobal ? tensor.dtype.name.replace(/^torch\./, "") : undefined;
  const dtype = named === undefined ? storageTypes.get(storage.type)!.dtype : (named as DType);
  if (dtype === null || !storageTypeOf.has(dtype)) {
    throw new InputError(
      `${label} has elements of ${named ?? storage.type}, expected one of ${[...storageTypeOf.keys()].join(", ")}; convert it first`,
    );
  }
  return dtype;
}

function isCounts(value: PickleValue): value is number[] {
  return Array.isArray(value) && value.every(isCount);
}
