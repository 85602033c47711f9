/** The IDX format of MNIST and its relatives: big-endian sizes, then unsigned bytes, often gzipped. */

import { constants, gunzipSync } from "node:zlib";
import { InputError } from "../array/input-error.ts";
import { NDArray } from "../array/ndarray.ts";
import { mistakenFile } from "../formats/file-kind.ts";

const unsignedByte = 0x08;
const largestPayload = 2 ** 31 - 1;

/**
 * The array in an IDX file, plain or gzipped; elements are a view into plain `bytes`.
 * `where` names the file in errors. Memory stays within the size that the header declares, whatever the gzip holds.
 * @throws InputError for a wrong magic number, dimensions or length.
 */
export function decodeIdx(bytes: Uint8Array, where = "IDX data"): NDArray<"uint8"> {
  const gzipped = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const head = gzipped ? unzipStart(bytes, where) : bytes;
  const { shape, offset, size } = parseHeader(head, where);
  const content = gzipped ? unzip(bytes, offset + size, where) : bytes;
  if (content.length !== offset + size) {
    const found = content.length < offset + size ? `${content.length}` : "more";
    throw new InputError(`${where}: shape [${shape}] needs ${offset + size} bytes with its header, found ${found}`);
  }
  return new NDArray("uint8", shape, new Uint8Array(content.buffer, content.byteOffset + offset, size));
}

function parseHeader(bytes: Uint8Array, where: string): { shape: number[]; offset: number; size: number } {
  if (bytes.length < 4)
    throw new InputError(`${where}: expected an IDX header of 4 bytes or more, found ${bytes.length} bytes`);
  const [zero0, zero1, type, rank] = bytes as unknown as [number, number, number, number];
  if (zero0 !== 0 || zero1 !== 0 || type !== unsignedByte || rank === 0) {
    const expected = `${where}: expected an IDX file of unsigned bytes (00 00 08 and a rank)`;
    const mistaken = mistakenFile(bytes);
    if (mistaken) throw new InputError(`${expected}, found ${mistaken.found}; ${mistaken.remedy}`);
    const found = [zero0, zero1, type, rank].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    throw new InputError(`${expected}, it starts with ${found}`);
  }
  const offset = 4 + 4 * rank;
  if (bytes.length < offset)
    throw new InputError(`${where}: ${rank} dimensions need a header of ${offset} bytes, found ${bytes.length}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, offset);
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const size = shape.reduce((product, dim) => product * dim, 1);
  if (!(size > 0 && size <= largestPayload)) {
    throw new InputError(`${where}: expected between 1 and ${largestPayload} elements, its header says [${shape}]`);
  }
  return { shape, offset, size };
}

/** The first bytes of a gzip: enough for any header. */
function unzipStart(bytes: Uint8Array, where: string): Uint8Array {
  try {
    return gunzipSync(bytes.subarray(0, 8192), { finishFlush: constants.Z_SYNC_FLUSH });
  } catch (error) {
    throw new InputError(`${where}: not a valid gzip file (${(error as Error).message})`);
  }
}

/** All of a gzip that holds `expected` bytes. */
function unzip(bytes: Uint8Array, expected: number, where: string): Uint8Array {
  try {
    return gunzipSync(bytes, { maxOutputLength: expected });
  } catch (error) {
    throw new InputError(
      `${where}: expected a gzip of ${expected} bytes as its header says, found another length or damage (${(error as Error).message})`,
    );
  }
}
