/** NumPy's `.npy`: one array, behind a header that is a small Python dictionary; it is parsed, never evaluated. */

import { InputError } from "../array/input-error.ts";
import { bytesPerElement, type DType, type NDArray, sizeOf } from "../array/ndarray.ts";
import { arrayOver, bytesOf, gather } from "./raw-array.ts";

/** What the header of any array says. */
export interface AnyNpyHeader {
  /** NumPy's name of the element type: `f4`, `U5`, or a list of fields. */
  readonly code: string;
  /** The same as the file has it: `'<f4'`. */
  readonly descr: string;
  readonly shape: readonly number[];
  readonly littleEndian: boolean;
  /** Elements in column-major order, of more than one axis. */
  readonly fortranOrder: boolean;
  /** Where the elements start. */
  readonly dataStart: number;
}

/** What the header of an array that is read says. */
export interface NpyHeader extends AnyNpyHeader {
  /** That it is read as. */
  readonly dtype: DType;
  /** Of one element in the file. */
  readonly width: number;
  /** Of all elements in the file. */
  readonly byteLength: number;
}

const dtypeOfCode: ReadonlyMap<string, DType> = new Map<string, DType>([
  ["f8", "float64"],
  ["f4", "float32"],
  ["f2", "float16"],
  ["i8", "int64"],
  ["i4", "int32"],
  ["i2", "int16"],
  ["i1", "int8"],
  ["u1", "uint8"],
  ["b1", "bool"],
]);
/** Types without a counterpart that another holds: 16 and 32 bits exactly, 64 bits where the highest is not set. */
const heldBy: ReadonlyMap<string, DType> = new Map<string, DType>([
  ["u2", "int32"],
  ["u4", "int64"],
  ["u8", "int64"],
]);
const codeOfDtype = new Map<DType, string>([...dtypeOfCode].map(([code, dtype]) => [dtype, code]));

const magic = "\x93NUMPY";
const alignment = 64;
const highestRank = 64; // NumPy's own limit
/** Bytes from the start of a file within which its header ends. */
export const longestNpyHeader = 2 ** 16;

/**
 * The array in a `.npy` file; column-major ones are turned row-major. `where` names the file in errors.
 * The elements are a view of `bytes` where possible, and turned around there if they are big-endian.
 * @throws InputError for another format, objects, element types without a counterpart, or a wrong length.
 */
export function decodeNpy(bytes: Uint8Array, where = "npy data"): NDArray {
  const header = parseNpyHeader(bytes, where);
  checkNpyLength(header, bytes.length, where);
  return npyArray(header, bytes.subarray(header.dataStart), where);
}

/**
 * The array whose elements are `bytes`, which may be changed and kept.
 * @throws InputError for unsigned integers that no type here holds.
 */
export function npyArray(header: NpyHeader, bytes: Uint8Array, where = "npy data"): NDArray {
  const { dtype, code, shape, littleEndian, fortranOrder } = header;
  const width = bytesPerElement(dtype);
  const same = heldBy.has(code) ? asSigned(header, bytes, where) : bytes;
  const isLittle = littleEndian || same !== bytes;
  if (!fortranOrder || bytes.length === 0) return arrayOver(dtype, shape, same, isLittle);
  const strides = shape.map((_, axis) => sizeOf(shape.slice(0, axis)));
  return arrayOver(dtype, shape, gather(same, width, shape, strides), isLittle);
}

/** Unsigned integers as wider signed ones. */
function asSigned({ code, dtype, width, littleEndian }: NpyHeader, bytes: Uint8Array, where: string): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const count = bytes.length / width;
  const to = dtype === "int32" ? new Int32Array(count) : new BigInt64Array(count);
  for (let i = 0; i < count; i++) {
    if (code === "u2") to[i] = view.getUint16(2 * i, littleEndian);
    else to[i] = code === "u4" ? BigInt(view.getUint32(4 * i, littleEndian)) : view.getBigUint64(8 * i, littleEndian);
    if (to[i]! < 0)
      throw new InputError(`${where}: unsigned numbers of 64 bits up to 2^63 are read, found larger ones`);
  }
  return new Uint8Array(to.buffer);
}

/** The texts in an array of NumPy's type `U` or `S`. */
export function npyTexts({ code, shape, littleEndian }: AnyNpyHeader, bytes: Uint8Array): string[] {
  const [letters, unit] = [Number(code.slice(1)), code.startsWith("U") ? 4 : 1];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: sizeOf(shape) }, (_, i) => {
    let text = "";
    for (let k = i * letters; k < (i + 1) * letters; k++) {
      const point = unit === 4 ? view.getUint32(4 * k, littleEndian) : view.getUint8(k);
      if (point !== 0 && point <= 0x10ffff) text += String.fromCodePoint(point);
    }
    return text;
  });
}

/** Bytes of an array of texts; undefined for another one. */
export function textBytes({ code, shape }: AnyNpyHeader): number | undefined {
  const [, kind, letters] = /^([US])(\d{1,9})$/.exec(code) ?? [];
  return kind === undefined ? undefined : sizeOf(shape) * Number(letters) * (kind === "U" ? 4 : 1);
}

/** @throws InputError unless `fileLength` bytes are just the header and its elements. */
export function checkNpyLength(
  {
    dtype,
    code,
    shape,
    dataStart,
    byteLength,
  }: AnyNpyHeader & Pick<NpyHeader, "byteLength"> & { readonly dtype?: DType },
  fileLength: number,
  where: string,
) {
  if (dataStart + byteLength !== fileLength) {
    const needed = `${dtype ?? code} [${shape}] needs ${byteLength} bytes after its header`;
    throw new InputError(`${where}: ${needed}, found ${fileLength - dataStart}; is it cut off?`);
  }
}

/** The header of an array that is read, at the start of a file of which `bytes` are the first ones. @throws InputError */
function parseNpyHeader(bytes: Uint8Array, where: string): NpyHeader {
  const header = parseAnyHeader(bytes, where);
  if (isReadable(header)) return header;
  throw new InputError(`${where}: ${foreignNpy(header)}; convert it in NumPy first`);
}

/** Whether an array is of a type that is read. */
export const isReadable = (header: AnyNpyHeader | NpyHeader): header is NpyHeader => "dtype" in header;

/** Of which type the elements are that are not read. */
export function foreignNpy({ code, descr }: AnyNpyHeader): string {
  const objects = code.startsWith("O") ? " (Python objects, which are never read)" : "";
  return `elements of type ${descr.slice(0, 100)}${objects}, expected one of ${[...dtypeOfCode.values()].join(", ")}`;
}

/** The header of an array of any type. @throws InputError for one that is damaged. */
export function parseAnyHeader(bytes: Uint8Array, where: string): AnyNpyHeader | NpyHeader {
  if (bytes.length < 12 || [...magic].some((character, k) => bytes[k] !== character.charCodeAt(0))) {
    throw new InputError(`${where}: expected a NumPy array (.npy), found other bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const version = view.getUint8(6);
  if (version < 1 || version > 3) {
    throw new InputError(`${where}: expected version 1, 2 or 3 of the .npy format, found ${version}`);
  }
  const headerStart = version === 1 ? 10 : 12;
  const dataStart = headerStart + (version === 1 ? view.getUint16(8, true) : view.getUint32(8, true));
  if (dataStart > Math.min(bytes.length, longestNpyHeader)) {
    throw new InputError(`${where}: its header claims to end at byte ${dataStart}, which is too far; is it cut off?`);
  }
  const text = new TextDecoder(version === 3 ? "utf-8" : "latin1").decode(bytes.subarray(headerStart, dataStart));
  const { descr, shape, fortranOrder } = parseDictionary(text, where);
  const [, order, code = descr] = /^['"]([<>|=])(.*)['"]$/.exec(descr) ?? [];
  const dtype = dtypeOfCode.get(code) ?? heldBy.get(code);
  const width = dtype === undefined ? 1 : Number(code.slice(1));
  const byteLength = shape.reduce((product, dim) => product * dim, width);
  if (shape.length > highestRank || !Number.isSafeInteger(8 * byteLength)) {
    throw new InputError(`${where}: an array of ${shape.length} axes and ${byteLength} bytes; the file is damaged`);
  }
  const header = { code, descr, shape, littleEndian: order !== ">" || width === 1, fortranOrder, dataStart };
  return dtype === undefined ? { ...header, littleEndian: order !== ">" } : { ...header, dtype, width, byteLength };
}

/** The three fields of the dictionary, in any order. */
function parseDictionary(text: string, where: string): { descr: string; shape: number[]; fortranOrder: boolean } {
  const fields = new Map<string, string>();
  const field = /\s*(['"])(\w+)\1\s*:\s*('[^']*'|"[^"]*"|\([^()]*\)|\[.*?\]|True|False)\s*(,|(?=\}))/y;
  field.lastIndex = text.indexOf("{") + 1;
  for (let match = field.exec(text); match; match = field.exec(text)) fields.set(match[2]!, match[3]!);
  const [descr, order, sizes] = ["descr", "fortran_order", "shape"].map((name) => fields.get(name));
  const shape = sizes === undefined ? undefined : parseShape(sizes);
  if (descr === undefined || !(order === "True" || order === "False") || shape === undefined || fields.size !== 3) {
    throw new InputError(
      `${where}: expected a header with descr, fortran_order and shape, found ${JSON.stringify(text.trim().slice(0, 100))}`,
    );
  }
  return { descr, shape, fortranOrder: order === "True" && shape.length > 1 };
}

function parseShape(text: string): number[] | undefined {
  const dense = text.replaceAll(/\s/g, "");
  if (!/^\((\d+L?(,\d+L?)*,?)?\)$/.test(dense)) return undefined; // Python 2 wrote 3L
  return Array.from(dense.matchAll(/\d+/g), Number);
}

/**
 * A `.npy` file, version 1, row-major, its elements at a multiple of 64 bytes.
 * @throws InputError for bfloat16, which NumPy does not have.
 */
export function encodeNpy(array: NDArray, where = "npy"): Uint8Array {
  const header = encodeNpyHeader(array, where);
  const bytes = new Uint8Array(header.length + array.byteLength);
  bytes.set(header);
  bytes.set(bytesOf(array), header.length);
  return bytes;
}

/** The header before the elements in such a file. @throws InputError for bfloat16, which NumPy does not have. */
export function encodeNpyHeader({ dtype, shape }: Pick<NDArray, "dtype" | "shape">, where = "npy"): Uint8Array {
  const code = codeOfDtype.get(dtype);
  if (code === undefined) {
    throw new InputError(`${where}: NumPy has no ${dtype}; convert it to float32 or write safetensors`);
  }
  const order = bytesPerElement(dtype) === 1 ? "|" : "<";
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const text = `{'descr': '${order}${code}', 'fortran_order': False, 'shape': (${sizes}), }`;
  const dataStart = Math.ceil((10 + text.length + 1) / alignment) * alignment;
  const bytes = new Uint8Array(dataStart);
  const header = `${magic}\x01\x00\x00\x00${text.padEnd(dataStart - 11)}\n`;
  for (let k = 0; k < header.length; k++) bytes[k] = header.charCodeAt(k);
  new DataView(bytes.buffer).setUint16(8, dataStart - 10, true);
  return bytes;
}
