/** Where a reader gets its bytes: a file opened in ranges, a download, or memory. */

/** Random access to bytes; `storage/openByteRanges` gives one for a file. */
export interface ByteSource {
  /** A path or address for error messages. */
  readonly name?: string;
  /** Where the bytes lie as a file, if they do: an engine may map them instead of reading. */
  readonly path?: string;
  /** Bytes in all. */
  readonly size: number;
  /** Bytes `[offset, offset + length)`; the caller may keep and change them. */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** A source over bytes in memory; each read copies its range. */
export function bytesInMemory(bytes: Uint8Array, name?: string): ByteSource {
  const read = async (offset: number, length: number) => bytes.slice(offset, offset + length);
  return name === undefined ? { size: bytes.length, read } : { name, size: bytes.length, read };
}
