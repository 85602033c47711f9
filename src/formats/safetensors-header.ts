/** The header of a safetensors file: parsed and checked as hostile input, before any tensor is read. */

import { InputError, isObject } from "../array/input-error.ts";
import { bytesPerElement, type DType, sizeOf } from "../array/ndarray.ts";

/** Names of element types in the file, and ours. */
export const dtypeOfCode: ReadonlyMap<string, DType> = new Map<string, DType>([
  ["F64", "float64"],
  ["F32", "float32"],
  ["F16", "float16"],
  ["BF16", "bfloat16"],
  ["I64", "int64"],
  ["I32", "int32"],
  ["I16", "int16"],
  ["I8", "int8"],
  ["U8", "uint8"],
  ["BOOL", "bool"],
]);

/** Bits of one element of the types that have no counterpart here; of others nothing is known. */
const bitsOfForeign: ReadonlyMap<string, number> = new Map([
  ["U16", 16] as const,
  ["U32", 32] as const,
  ...["U64", "C64"].map((code) => [code, 64] as const),
  ...["F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"].map((code) => [code, 8] as const),
  ...["F6_E2M3", "F6_E3M2"].map((code) => [code, 6] as const),
  ["F4", 4] as const,
]);

/** Where one tensor is. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** First byte, counted from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
}

/** A tensor whose elements are of a type that has no counterpart here. */
export interface ForeignEntry extends Omit<TensorEntry, "dtype"> {
  /** The type's name in the file. */
  readonly code: string;
}

/** A checked header: entries in file order, with the foreign ones contiguous to the end of the file, names unique. */
export interface SafetensorsHeader {
  readonly entries: readonly TensorEntry[];
  readonly foreign: readonly ForeignEntry[];
  /** The file's `__metadata__`, an object without prototype; empty if there is none. */
  readonly metadata: Readonly<Record<string, string>>;
}

const longestHeader = 100_000_000; // the limit of the format's own reader
const mostTensors = 100_000; // the largest models there are have fewer, in all of their files
const mostAxes = 64; // NumPy's limit

/**
 * Bytes of the header, without the 8 bytes of this length.
 * @throws InputError if there are fewer than 8 bytes, or the length exceeds 100 MB or the file.
 */
export function headerLength(first8: Uint8Array, fileSize: number, where = "safetensors"): number {
  if (fileSize < 8 || first8.length < 8) {
    throw new InputError(
      `${where}: expected a safetensors file, found only ${Math.min(fileSize, first8.length)} bytes`,
    );
  }
  const length = Number(new DataView(first8.buffer, first8.byteOffset, 8).getBigUint64(0, true));
  if (length > longestHeader) {
    throw new InputError(
      `${where}: not a safetensors file: its header claims ${length} bytes, the limit is ${longestHeader}`,
    );
  }
  if (length > fileSize - 8) {
    throw new InputError(
      `${where}: header claims ${length} bytes, the file has ${fileSize - 8} after its first 8; is it cut off?`,
    );
  }
  return length;
}

/**
 * Parses and checks a header. `bytes` starts with the 8 bytes of the length and holds at least the whole header.
 * @throws InputError naming the tensor for anything that is not a valid file of `fileSize` bytes.
 */
export function parseSafetensorsHeader(bytes: Uint8Array, fileSize: number, where = "safetensors"): SafetensorsHeader {
  const length = headerLength(bytes, fileSize, where);
  if (bytes.length < 8 + length) {
    throw new InputError(`${where}: header has ${length} bytes, only ${bytes.length - 8} were read`);
  }
  const root = parseObject(bytes.subarray(8, 8 + length), where);
  const dataStart = 8 + length;
  const entries: (TensorEntry | ForeignEntry)[] = [];
  let metadata: Record<string, string> = Object.create(null);
  for (const [name, value] of Object.entries(root)) {
    if (name === "__metadata__") metadata = checkMetadata(value, where);
    else entries.push(checkEntry(name, value, dataStart, `${where}: tensor ${quote(name)}`));
  }
  entries.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  checkContiguous(entries, dataStart, fileSize, where);
  return {
    entries: entries.filter((entry) => "dtype" in entry),
    foreign: entries.filter((entry) => "code" in entry),
    metadata,
  };
}

/** What is wrong with the type of a tensor that is not read. */
export const unknownDtype = (code: unknown): string =>
  `unknown dtype ${quote(code)}, expected one of ${[...dtypeOfCode.keys()].join(", ")}`;

function parseObject(bytes: Uint8Array, where: string): object {
  let text: string;
  let root: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    root = JSON.parse(text);
  } catch {
    throw new InputError(`${where}: header is not valid JSON`);
  }
  if (!isObject(root)) throw new InputError(`${where}: header must be a JSON object`);
  const count = Object.keys(root).length;
  if (count > mostTensors) {
    throw new InputError(`${where}: header names ${count} tensors, the limit is ${mostTensors}; refused`);
  }
  const twice = duplicateKey(text);
  if (twice !== undefined) throw new InputError(`${where}: header names ${quote(twice)} twice`);
  return root;
}

/** The format's own reader takes null for no metadata, and refuses values that are no strings. */
function checkMetadata(value: unknown, where: string): Record<string, string> {
  if (value === null) return Object.create(null);
  if (!isObject(value)) throw new InputError(`${where}: __metadata__ must be an object of strings`);
  const metadata: Record<string, string> = Object.create(null);
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") throw new InputError(`${where}: __metadata__ ${quote(key)} must be a string`);
    metadata[key] = text;
  }
  return metadata;
}

function checkEntry(name: string, value: unknown, dataStart: number, where: string): TensorEntry | ForeignEntry {
  if (!isObject(value)) throw new InputError(`${where}: expected an object with dtype, shape and data_offsets`);
  const { dtype: code, shape, data_offsets: offsets } = value as { [field: string]: unknown };
  if (typeof code !== "string") throw new InputError(`${where}: ${unknownDtype(code)}`);
  const dtype = dtypeOfCode.get(code);
  if (!isCounts(shape))
    throw new InputError(`${where}: shape must be a list of non-negative integers, found ${quote(shape)}`);
  if (shape.length > mostAxes) throw new InputError(`${where}: ${shape.length} axes, the limit is ${mostAxes}`);
  if (!isCounts(offsets) || offsets.length !== 2) {
    throw new InputError(`${where}: data_offsets must be two non-negative integers, found ${quote(offsets)}`);
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end) throw new InputError(`${where}: data_offsets begin at ${begin}, after their end ${end}`);
  const bits = dtype === undefined ? bitsOfForeign.get(code) : 8 * bytesPerElement(dtype);
  const needed = bits === undefined ? end - begin : Math.ceil((sizeOf(shape) * bits) / 8);
  if (needed !== end - begin) {
    throw new InputError(`${where}: ${code} ${quote(shape)} needs ${needed} bytes, data_offsets hold ${end - begin}`);
  }
  const place = { name, shape, offset: dataStart + begin, byteLength: end - begin };
  return dtype === undefined ? { ...place, code } : { ...place, dtype };
}

function checkContiguous(
  entries: readonly Omit<TensorEntry, "dtype">[],
  dataStart: number,
  fileSize: number,
  where: string,
): void {
  let end = dataStart;
  let previous = "the header";
  for (const { name, offset, byteLength } of entries) {
    if (offset + byteLength > fileSize) {
      const missing = offset + byteLength - fileSize;
      throw new InputError(`${where}: tensor ${quote(name)} ends ${missing} bytes after the file; is it cut off?`);
    }
    if (offset < end) throw new InputError(`${where}: tensor ${quote(name)} overlaps ${previous}`);
    if (offset > end)
      throw new InputError(`${where}: ${offset - end} unused bytes between ${previous} and tensor ${quote(name)}`);
    end = offset + byteLength;
    previous = `tensor ${quote(name)}`;
  }
  if (end !== fileSize) throw new InputError(`${where}: ${fileSize - end} unused bytes after ${previous}`);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((count) => Number.isSafeInteger(count) && count >= 0);
}

/** A value from the file for a message, cut to a readable length; it may be nested deeper than `JSON.stringify` can go. */
export function quote(value: unknown): string {
  if (Array.isArray(value)) return `[${value.slice(0, 8).map(quoteSimple)}${value.length > 8 ? ",…" : ""}]`;
  return quoteSimple(value);
}

function quoteSimple(value: unknown): string {
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "[…]" : "{…}";
  const text = typeof value === "string" ? JSON.stringify(value.slice(0, 100)) : String(value);
  return typeof value === "string" && value.length > 100 ? `${text}…` : text;
}

const quoteMark = 0x22;
const backslash = 0x5c;

/** The first key that repeats within one object of `json`, at any depth; `json` must already have been parsed. */
export function duplicateKey(json: string): string | undefined {
  const enclosing: (Set<string> | undefined)[] = []; // keys of each enclosing object; undefined for an array
  let start = 0;
  let end = 0; // the latest string, quotes included
  for (let at = 0; at < json.length; at++) {
    switch (json[at]) {
      case '"':
        start = at;
        at = endOfString(json, at);
        end = at + 1;
        break;
      case "{":
        enclosing.push(new Set());
        break;
      case "[":
        enclosing.push(undefined);
        break;
      case "}":
      case "]":
        enclosing.pop();
        break;
      case ":": {
        const key = JSON.parse(json.slice(start, end)) as string; // "a" and "\u0061" are the same key
        const keys = enclosing.at(-1);
        if (keys?.has(key)) return key;
        keys?.add(key);
      }
    }
  }
  return undefined;
}

/** The position of the quote that closes the string opened at `start`. */
function endOfString(json: string, start: number): number {
  for (let at = start + 1; at < json.length; at++) {
    const character = json.charCodeAt(at);
    if (character === quoteMark) return at;
    if (character === backslash) at++;
  }
  return json.length;
}
