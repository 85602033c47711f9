/** Ranges of rows of a large array that is stored column by column, in bounded memory: many rows with each pass over it. */

import { sizeOf } from "../array/ndarray.ts";
import type { ReadRange } from "./zip/zip-entry.ts";

/** Rows that are in memory. */
interface Block {
  readonly first: number;
  readonly rows: number;
  readonly bytes: Uint8Array;
}

/**
 * Reads row-major ranges of an array [N, …] of bytes whose elements follow `dataStart` bytes of `content` in column-major
 * order. A pass over the content gives as many rows as `memory` bytes hold, so that it takes size / memory passes in order.
 */
export function columnMajorRanges(
  content: () => AsyncIterable<Uint8Array>,
  dataStart: number,
  shape: readonly number[], // [N, …]
  memory: number,
): ReadRange {
  const [count = 0, ...rest] = shape;
  const rowBytes = sizeOf(rest);
  const rows = Math.max(1, Math.floor(memory / Math.max(1, rowBytes)));
  let block: Block | undefined;
  return async (offset, length) => {
    const result = new Uint8Array(length);
    for (let at = offset; at < offset + length; ) {
      const row = Math.floor(at / rowBytes);
      if (!block || row < block.first || row >= block.first + block.rows) {
        block = undefined; // is freed before the next one is made
        block = await readBlock(content(), { dataStart, count, rest, first: row, rows: Math.min(rows, count - row) });
      }
      const inside = at - block.first * rowBytes;
      const part = block.bytes.subarray(inside, inside + offset + length - at);
      result.set(part, at - offset);
      at += part.length;
    }
    return result;
  };
}

interface Wanted {
  readonly dataStart: number;
  readonly count: number;
  readonly rest: readonly number[];
  readonly first: number;
  readonly rows: number;
}

/** Column c holds element c of each row, in column-major order of the other axes. */
async function readBlock(content: AsyncIterable<Uint8Array>, wanted: Wanted): Promise<Block> {
  const { dataStart, count, rest, first, rows } = wanted;
  const rowBytes = sizeOf(rest);
  const columns = new Columns(rows, rowBytes);
  const places = rowMajorPlaces(rest);
  let place = places.next().value as number;
  let [column, columnStart] = [0, dataStart + first];
  let chunkStart = 0;
  for await (const chunk of content) {
    const chunkEnd = chunkStart + chunk.length;
    while (column < rowBytes && columnStart < chunkEnd) {
      const [from, to] = [Math.max(0, chunkStart - columnStart), Math.min(rows, chunkEnd - columnStart)];
      columns.add(chunk, { start: columnStart - chunkStart, from, to, place });
      if (columnStart + rows > chunkEnd) break; // the rest of the column is in the next chunk
      column++;
      columnStart += count;
      place = places.next().value as number;
    }
    columns.write(chunk);
    chunkStart = chunkEnd;
  }
  return { first, rows, bytes: columns.bytes };
}

/** A part of a column: rows `from` to `to`, the first of all rows at `start` of a chunk, to be written at `place` of each row. */
interface Part {
  readonly start: number;
  readonly from: number;
  readonly to: number;
  readonly place: number;
}

const partsTogether = 1024;
const rowsTogether = 16;

/** Writes columns to rows, many of them for a few rows at a time: one by one, each byte would wait for memory. */
class Columns {
  readonly bytes: Uint8Array;
  readonly #rows: number;
  readonly #rowBytes: number;
  #parts: Part[] = [];

  constructor(rows: number, rowBytes: number) {
    this.bytes = new Uint8Array(rows * rowBytes);
    this.#rows = rows;
    this.#rowBytes = rowBytes;
  }

  add(chunk: Uint8Array, part: Part): void {
    if (part.from < part.to) this.#parts.push(part);
    if (this.#parts.length === partsTogether) this.write(chunk);
  }

  /** Writes what was added of a chunk. */
  write(chunk: Uint8Array): void {
    for (let row = 0; row < this.#rows; row += rowsTogether) {
      for (const part of this.#parts) this.#writeRows(chunk, part, row);
    }
    this.#parts = [];
  }

  #writeRows(chunk: Uint8Array, { start, from, to, place }: Part, row: number): void {
    const [low, high] = [Math.max(from, row), Math.min(to, row + rowsTogether)];
    for (let n = low, target = low * this.#rowBytes + place; n < high; n++, target += this.#rowBytes) {
      this.bytes[target] = chunk[start + n]!;
    }
  }
}

/** Row-major places of the elements of one row, in column-major order. */
function* rowMajorPlaces(rest: readonly number[]): Generator<number, number> {
  const strides = rest.map((_, axis) => sizeOf(rest.slice(axis + 1)));
  const index = rest.map(() => 0);
  let place = 0;
  for (let left = sizeOf(rest); left > 0; left--) {
    yield place;
    for (let axis = 0; axis < rest.length; axis++) {
      place += strides[axis]!;
      index[axis]!++;
      if (index[axis]! < rest[axis]!) break;
      place -= strides[axis]! * rest[axis]!;
      index[axis] = 0;
    }
  }
  return 0;
}
