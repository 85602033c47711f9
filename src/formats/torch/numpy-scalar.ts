/** NumPy scalars in a pickle: numbers that a training script kept beside its weights. */

import { PickledObject, type PickleValue } from "./pickle-values.ts";

const readers: ReadonlyMap<string, (view: DataView) => number | bigint | boolean> = new Map<
  string,
  (view: DataView) => number | bigint | boolean
>([
  ["f8", (view) => view.getFloat64(0, true)],
  ["f4", (view) => view.getFloat32(0, true)],
  ["i8", (view) => narrow(view.getBigInt64(0, true))],
  ["u8", (view) => narrow(view.getBigUint64(0, true))],
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

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
