/** Torch files before 1.6: five pickles in a row, then the storages, each with its number of elements before it. */

import { InputError, quote } from "../../array/input-error.ts";
import type { ByteSource } from "../weight-file.ts";
import type { Persistent } from "./pickle-machine.ts";
import { PickleCutOff } from "./pickle-operands.ts";
import { kindOfValue, PickledStorage, type PickleValue } from "./pickle-values.ts";
import {
  longestPickle,
  persistentStorage,
  type StorageBytes,
  storageTypes,
  type TorchContainer,
} from "./torch-container.ts";
import { unpickle } from "./unpickle.ts";

/** The integer in the first pickle. */
const legacyMagic = 0x1950a86a20f9469cfc6cn;

const layoutVersion = 1001;
const countLength = 8;
const firstRead = 2 ** 20; // the pickles of most files

interface Pickles {
  readonly root: PickleValue;
  readonly placeholders: readonly string[];
  /** Of the storages, in the order of the file. */
  readonly keys: PickleValue;
  readonly littleEndian: boolean;
  /** Bytes of one element for each storage that a tensor refers to. */
  readonly widths: ReadonlyMap<string, number>;
  /** Where the storages start. */
  readonly end: number;
}

/** Opens a file of the old form. @throws InputError if it is none, damaged or refused. */
export async function openLegacyContainer(source: ByteSource, where: string): Promise<TorchContainer> {
  const pickles = await readPickles(source, where);
  const storages = await findStorages(source, pickles, where);
  const storage = async (key: string) => {
    const bytes = storages.get(key);
    if (!bytes) throw new InputError(`${where}: storage ${quote(key)} is missing; the file is damaged`);
    return bytes;
  };
  const { littleEndian, root, placeholders } = pickles;
  return { format: "PyTorch (legacy)", source, where, littleEndian, root, placeholders, storage };
}

/** Reads as much of the file as its pickles need. */
async function readPickles(source: ByteSource, where: string): Promise<Pickles> {
  const most = Math.min(source.size, longestPickle);
  for (let length = firstRead; ; length *= 8) {
    const bytes = await source.read(0, Math.min(length, most));
    try {
      return parsePickles(bytes, where);
    } catch (error) {
      if (!(error instanceof PickleCutOff) || bytes.length === most) throw error;
    }
  }
}

function parsePickles(bytes: Uint8Array, where: string): Pickles {
  const widths = new Map<string, number>();
  let end = 0;
  const unpickled = (persistent: Persistent) => {
    const found = unpickle(bytes, end, where, persistent);
    end = found.end;
    return found;
  };
  const next = (persistent: Persistent): PickleValue => unpickled(persistent).value;
  const none: Persistent = () => {
    throw new InputError(`${where}: a storage where none is expected; the file is damaged`);
  };
  const magic = next(none);
  if (magic !== legacyMagic) {
    throw new InputError(`${where}: expected the magic number of torch.save, found ${kindOfValue(magic)}`);
  }
  const version = next(none);
  if (version !== layoutVersion) {
    const found = typeof version === "number" ? version : kindOfValue(version);
    throw new InputError(`${where}: expected version ${layoutVersion} of torch's old file form, found ${found}`);
  }
  const system = next(none);
  const littleEndian = !(system instanceof Map && system.get("little_endian") === false);
  const { value: root, placeholders } = unpickled((id) => {
    const value = persistentStorage(id, where);
    return value instanceof PickledStorage ? noteWidth(value, widths, where) : value;
  });
  const keys = next(none);
  return { root, placeholders, keys, littleEndian, widths, end };
}

function noteWidth(storage: PickledStorage, widths: Map<string, number>, where: string): PickledStorage {
  const { width } = storageTypes.get(storage.type)!;
  if ((widths.get(storage.key) ?? width) !== width) {
    throw new InputError(`${where}: storage ${quote(storage.key)} has elements of two sizes; the file is damaged`);
  }
  widths.set(storage.key, width);
  return storage;
}

/** Where each storage is; reads nothing but the counts. */
async function findStorages(
  source: ByteSource,
  { keys, widths, end }: Pickles,
  where: string,
): Promise<ReadonlyMap<string, StorageBytes>> {
  if (!Array.isArray(keys)) throw new InputError(`${where}: expected a list of storages, found ${kindOfValue(keys)}`);
  const storages = new Map<string, StorageBytes>();
  let at = end;
  for (const key of keys) {
    const width = typeof key === "string" ? widths.get(key) : undefined;
    if (typeof key !== "string" || width === undefined || storages.has(key)) {
      const found = typeof key === "string" ? quote(key) : kindOfValue(key);
      throw new InputError(`${where}: the list of storages names ${found}, which no tensor has or which came before`);
    }
    const label = `${where}: storage ${quote(key)}`;
    if (at + countLength > source.size) throw new InputError(`${label} starts after the file's end; is it cut off?`);
    const count = await source.read(at, countLength);
    const length = Number(new DataView(count.buffer, count.byteOffset, countLength).getBigInt64(0, true));
    const start = at + countLength;
    at = start + length * width;
    if (length < 0 || at > source.size) {
      throw new InputError(`${label} should end at byte ${at}, the file has ${source.size}; is it cut off?`);
    }
    const read = (offset: number, byteLength: number) => source.read(start + offset, byteLength);
    storages.set(key, { byteLength: length * width, offset: start, read });
  }
  return storages;
}
