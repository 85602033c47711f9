/** What the two forms of torch files have in common: one unpickled value, and storages by their keys. */

import type { ByteSource } from "../byte-source.ts";
import type { PickleValue } from "./pickle-values.ts";

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

/** Longest pickle that is read; the tensors' values lie outside of it. */
export const longestPickle = 2 ** 26;
