/** Torch files since 1.6: a zip file with `data.pkl`, `data/KEY` for each storage, and `byteorder`. */

import { InputError, quote } from "../../array/input-error.ts";
import type { ByteSource } from "../weight-file.ts";
import { readZipDirectory, type ZipDirectory, type ZipEntry } from "../zip/zip-directory.ts";
import { checkCrc, dataOffset, readEntry, requireKnownMethod, stored } from "../zip/zip-entry.ts";
import { longestPickle, persistentStorage, type StorageBytes, type TorchContainer } from "./torch-container.ts";
import { unpickle } from "./unpickle.ts";

/** Opens a zip file that `torch.save` wrote. @throws InputError if it is none, damaged or refused. */
export async function openZipContainer(source: ByteSource, where: string): Promise<TorchContainer> {
  const directory = await readZipDirectory(source, where);
  const folder = torchFolder(directory);
  const pickle = await readEntry(directory, directory.entries.get(`${folder}data.pkl`)!, longestPickle);
  const { value, placeholders } = unpickle(pickle, 0, where, persistentStorage);
  const opened = new Map<string, Promise<StorageBytes>>();
  const storage = async (key: string) => {
    const entry = directory.entries.get(`${folder}data/${key}`);
    if (!entry) throw new InputError(`${where}: storage ${quote(key)} is missing; the file is damaged`);
    const bytes = opened.get(key) ?? openStorage(directory, entry);
    opened.set(key, bytes);
    return bytes;
  };
  const littleEndian = await isLittleEndian(directory, folder);
  return { format: "PyTorch (zip)", source, where, littleEndian, root: value, placeholders, storage };
}

/** Whether the entries of a zip file are those of `torch.save`. */
export function isTorchZip({ entries }: ZipDirectory): boolean {
  return pickleNames(entries).length > 0;
}

function pickleNames(entries: ZipDirectory["entries"]): string[] {
  return [...entries.keys()].filter((name) => /^([^/]*\/)?data\.pkl$/.test(name));
}

/** The folder in which torch puts everything, with its slash. */
function torchFolder({ entries, where }: ZipDirectory): string {
  const names = pickleNames(entries);
  if (names.length !== 1) {
    const found =
      names.length > 1
        ? names.slice(0, 3).map(quote).join(", ")
        : [...entries.keys()].slice(0, 3).map(quote).join(", ");
    throw new InputError(
      `${where}: expected the zip file of torch.save with one data.pkl, found ${names.length > 1 ? "several: " : ""}${found || "an empty one"}`,
    );
  }
  return names[0]!.slice(0, -"data.pkl".length);
}

async function isLittleEndian(directory: ZipDirectory, folder: string): Promise<boolean> {
  const entry = directory.entries.get(`${folder}byteorder`); // torch 2.0 and before wrote none
  if (!entry) return true;
  const order = new TextDecoder().decode(await readEntry(directory, entry, 100));
  if (order === "little" || order === "big") return order === "little";
  throw new InputError(`${directory.where}: expected the byte order "little" or "big", found ${quote(order)}`);
}

async function openStorage(directory: ZipDirectory, entry: ZipEntry): Promise<StorageBytes> {
  const label = `${directory.where}: zip entry ${quote(entry.name)}`;
  requireKnownMethod(label, entry.method);
  const start = await dataOffset(directory, entry);
  if (entry.method !== stored) {
    const read = async (offset: number, length: number) => {
      const bytes = await readEntry(directory, entry);
      return length === bytes.length ? bytes : bytes.slice(offset, offset + length);
    };
    return { byteLength: entry.byteLength, read };
  }
  const read = async (offset: number, length: number) => {
    const bytes = await directory.source.read(start + offset, length);
    if (length === entry.byteLength) checkCrc(bytes, entry, label);
    return bytes;
  };
  return { byteLength: entry.byteLength, offset: start, read };
}
