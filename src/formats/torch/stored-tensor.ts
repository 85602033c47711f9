/** From torch's description of a tensor to one that can be read: checked against its storage. */

import { InputError, isCount, quote } from "../../array/input-error.ts";
import { bytesPerElement, type DType, sizeOf } from "../../array/ndarray.ts";
import { arrayOver, gather, isDense, spanOf } from "../raw-array.ts";
import type { StoredTensor } from "../weight-file.ts";
import {
  kindOfValue,
  PickledGlobal,
  PickledObject,
  PickledStorage,
  type PickledTensor,
  type PickleValue,
  type TensorValue,
} from "./pickle-values.ts";
import { type StorageBytes, storageTypeOf, storageTypes, type TorchContainer } from "./torch-container.ts";

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

/**
 * The tensor as the file's other readers offer it; a text where it is of a kind that is not read, which says so:
 * `has elements of …`.
 * @throws InputError naming it if it is no view of its storage.
 */
export async function storedTensor(
  name: string,
  tensor: TensorValue,
  container: TorchContainer,
): Promise<StoredTensor | string> {
  const label = `${container.where}: tensor ${quote(name)}`;
  if (tensor instanceof PickledObject) return `is ${kindOfValue(tensor)}, not a dense tensor`;
  const { storage } = tensor;
  if (storage instanceof PickledObject) return `is a view of ${kindOfValue(storage)}`;
  if (!(storage instanceof PickledStorage)) throw new InputError(`${label} is a view of ${kindOfValue(storage)}`);
  const foreign = foreignType(tensor, storage);
  if (foreign) return `has elements of ${foreign}, expected one of ${[...storageTypeOf.keys()].join(", ")}`;
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
  const location = { source: container.source, offset: bytes.offset + start, byteLength: span };
  return { name, dtype, shape, location, read };
}

function checkedView(tensor: PickledTensor, storage: PickledStorage, bytes: StorageBytes, label: string): View {
  const dtype = typeName(tensor, storage) as DType;
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

/** The name of an element type that has no counterpart here. */
function foreignType(tensor: PickledTensor, storage: PickledStorage): string | undefined {
  const name = typeName(tensor, storage);
  return storageTypeOf.has(name as DType) ? undefined : name;
}

function typeName({ dtype }: PickledTensor, { type }: PickledStorage): string {
  const named = dtype instanceof PickledGlobal ? dtype.name.replace(/^torch\./, "") : undefined;
  return named ?? storageTypes.get(type)!.dtype ?? type;
}

function isCounts(value: PickleValue): value is number[] {
  return Array.isArray(value) && value.slice(0, highestRank + 1).every(isCount); // sizes may be shared by many tensors
}
