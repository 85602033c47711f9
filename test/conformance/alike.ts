/** Comparing named results. */
import { expect } from "vitest";
import type { NDArray } from "../../src/array/ndarray.ts";
import { groupFloor } from "../golden/matchers.ts";

type Named = ReadonlyMap<string, NDArray>;

/** Every array agrees with that of the same name, relative to its largest element (or to 1e-7 of the largest of all). */
export function expectAlike(found: Named, wanted: Named, relative: number): void {
  expect([...found.keys()].sort()).toEqual([...wanted.keys()].sort());
  const floor = groupFloor(wanted.values());
  for (const [name, array] of wanted) expect(found.get(name), name).toMatchGolden(array, { relative, floor });
}

export const mapOf = (arrays: Readonly<Record<string, NDArray>>): Map<string, NDArray> =>
  new Map(Object.entries(arrays));
