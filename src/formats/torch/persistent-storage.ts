/** How torch names a storage within a pickle: ("storage", class, key, device, length), and a view in old files. */

import { InputError } from "../../array/input-error.ts";
import { kindOfValue, PickledGlobal, PickledObject, PickledStorage, type PickleValue } from "./pickle-values.ts";
import { storageTypes } from "./storage-types.ts";

/**
 * The storage that a persistent id stands for; a placeholder for ids that are none of storages, and for storages of a
 * class that is not known. Old files name classes of whole models by ids: `("module", class, …)`.
 * @throws InputError for a storage that cannot be.
 */
export function persistentStorage(id: PickleValue, where: string): PickledStorage | PickledObject | PickledGlobal {
  const [kind = null, storageClass = null, key = null, , length = null, view = null] = Array.isArray(id) ? id : [];
  if (kind === "module" && storageClass instanceof PickledGlobal) return storageClass;
  if (kind !== "storage") return new PickledObject("a persistent id", [id]);
  const { name = "" } = storageClass instanceof PickledGlobal ? storageClass : {};
  const type = name.slice(name.lastIndexOf(".") + 1);
  if (!storageTypes.has(type)) return new PickledObject(`a storage of ${kindOfValue(storageClass)}`, []);
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
