/** Arrays of a checkpoint as values on the host. */
import { NDArray } from "../../src/array/ndarray.ts";
import type { DeviceArray } from "../../src/engine/engine.ts";

export async function valuesOf(arrays: ReadonlyMap<string, NDArray | DeviceArray>): Promise<Map<string, NDArray>> {
  const values = new Map<string, NDArray>();
  for (const [name, array] of arrays) values.set(name, array instanceof NDArray ? array : await array.read());
  return values;
}
