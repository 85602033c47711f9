/** How torch names a storage within a pickle: ("storage", class, key, device, length), and a view in old files. */

import { InputError } from "../../array/input-error.ts";
import { kindOfValue, PickledGlobal, PickledStorage, type PickleValue } from "./pickle-values.ts";
import { storageTypes } from "./storage-types.ts";

/** The storage that a persistent id stands for. @throws InputError for any other id. */
export function persistentStorage(id: PickleValue, where: string): PickledStorage {
  if (!Array.isArray(id) || id[0] !== "storage") {
    const found =
      Array.isArray(id) && typeof id[0] === "string" ? JSON.stringify(id[0].slice(0, 100)) : kindOfValue(id);
    throw new InputError(`${where}: expected a reference to a storage, found ${found}; the file is damaged`);
  }
  const [, storageClass = null, key = null, , length = null, view = null] = id;
  const type =
    storageClass instanceof PickledGlobal ? storageClass.name.slice(storageClass.name.lastIndexOf(".") + 1) : "";
  if (!storageTypes.has(type)) {
    throw new InputError(`${where}: a storage of ${kindOfValue(storageClass)}, which is no class of storages`);
  }
  if (typeof key !== "string" || !isCount(length)) {
    throw new InputError(`${where}: a storage without key or length; the file is damaged`);
  }
  if (view === null) return new PickledStorage(key, type, length);
  const [, offset = null, viewLength = null] = Array.isArray(view) ? view : [];
  if (!isCount(offset) || !isCount(viewLength) || offset + viewLength > length) {
    throw new InputError(
      `${where}: a view of storage ${JSON.stringify(key.slice(0, 100))} beyond its end; the file is damaged`,
    );
  }
  return new PickledStorage(key, type, length, { offset, length: viewLength });
}

/** Whether a value is a length or position. */
export function isCount(value: PickleValue): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
