/** What an unpickled file consists of: inert values, whatever classes the file speaks of. */

/**
 * Lists and tuples are arrays, dictionaries of all kinds are `Map`s; integers beyond 2^53 are bigints.
 * Values may be shared and may contain themselves, so that whoever walks them needs a limit.
 */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | Set<PickleValue>
  | PickledGlobal
  | PickledObject
  | PickledStorage
  | PickledTensor;

/** A class or function that the file names; it is never looked up, let alone called. */
export class PickledGlobal {
  /** Module and name: `torch.FloatStorage`. */
  readonly name: string;
  /** Whether a file that calls it is refused. */
  readonly isRefused: boolean;

  constructor(name: string, isRefused = false) {
    this.name = name;
    this.isRefused = isRefused;
  }
}

/**
 * An object of a Python class: what it was made from, and what it was given then. One of a class that is not known here
 * is a placeholder.
 */
export class PickledObject {
  /** Module and name: `argparse.Namespace`. */
  readonly type: string;
  readonly args: readonly PickleValue[];
  state: PickleValue = null;
  /** Of a class derived from the dictionary, what it holds. */
  entries: Map<PickleValue, PickleValue> | null = null;
  /** Of a class derived from the list or the set, what it holds. */
  items: PickleValue[] | null = null;

  constructor(type: string, args: readonly PickleValue[]) {
    this.type = type;
    this.args = args;
  }
}

/** A row of elements that tensors are views of. */
export class PickledStorage {
  /** Under which the file keeps its bytes. */
  readonly key: string;
  /** `FloatStorage`; `UntypedStorage` counts in bytes. */
  readonly type: string;
  /** Elements of all that is kept under the key. */
  readonly length: number;
  /** The part of it that is meant, in old files that have views of storages. */
  readonly view: { readonly offset: number; readonly length: number };

  constructor(key: string, type: string, length: number, view = { offset: 0, length }) {
    this.key = key;
    this.type = type;
    this.length = length;
    this.view = view;
  }
}

/** A tensor as the file describes it, not yet checked. */
export class PickledTensor {
  readonly storage: PickleValue;
  /** In elements. */
  readonly offset: PickleValue;
  readonly shape: PickleValue;
  readonly strides: PickleValue;
  /** `torch.float8_e4m3fn`, where the storage does not say the type. */
  readonly dtype: PickleValue;

  constructor(args: readonly PickleValue[]) {
    const [storage = null, offset = null, shape = null, strides = null, , , dtype = null] = args;
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
    this.dtype = dtype;
  }
}

/** The package of all classes that TorchScript compiled; here they are records of attributes. */
export const scriptPackage = "__torch__.";

/** A tensor, or what takes its place and is not read: a sparse or quantized one, an array of NumPy. */
export type TensorValue = PickledTensor | PickledObject;

/** Tensors by name, in the order of the file. */
export type NamedTensors = ReadonlyMap<string, TensorValue>;

/** What a value is, in a word for messages. */
export function kindOfValue(value: PickleValue): string {
  if (value === null) return "None";
  if (Array.isArray(value)) return "a list";
  if (value instanceof Map) return "a dictionary";
  if (value instanceof Set) return "a set";
  if (value instanceof Uint8Array) return "bytes";
  if (value instanceof PickledGlobal) return value.name;
  if (value instanceof PickledObject) return `an object of ${value.type}`;
  if (value instanceof PickledStorage) return "a storage";
  if (value instanceof PickledTensor) return "a tensor";
  return typeof value === "string" ? "text" : typeof value === "boolean" ? "a truth value" : "a number";
}

const readers: ReadonlyMap<string, (view: DataView) => number | bigint | boolean> = new Map<
  string,
  (view: DataView) => number | bigint | boolean
>([
  ["f8", (view) => view.getFloat64(0, true)],
  ["f4", (view) => view.getFloat32(0, true)],
  ["i8", (view) => simplest(view.getBigInt64(0, true))],
  ["u8", (view) => simplest(view.getBigUint64(0, true))],
  ["i4", (view) => view.getInt32(0, true)],
  ["u4", (view) => view.getUint32(0, true)],
  ["i2", (view) => view.getInt16(0, true)],
  ["u2", (view) => view.getUint16(0, true)],
  ["i1", (view) => view.getInt8(0)],
  ["u1", (view) => view.getUint8(0)],
  ["b1", (view) => view.getUint8(0) !== 0],
]);

/** The number in `scalar(dtype, bytes)`, little-endian; what is none of our numbers stays an object. */
export function numpyScalar(args: readonly PickleValue[]): PickleValue {
  const [dtype, bytes] = args;
  const code = dtype instanceof PickledObject && dtype.type === "numpy.dtype" ? dtype.args[0] : undefined;
  const order = dtype instanceof PickledObject && Array.isArray(dtype.state) ? dtype.state[1] : undefined;
  const reader = typeof code === "string" ? readers.get(code) : undefined;
  if (reader && bytes instanceof Uint8Array && order !== ">" && bytes.length === Number((code as string)[1])) {
    return reader(new DataView(bytes.buffer, bytes.byteOffset, bytes.length));
  }
  return new PickledObject("numpy.scalar", []);
}

function simplest(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
