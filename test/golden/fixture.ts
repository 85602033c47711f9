/** Golden fixtures: tensors computed once by the original PyTorch code, with a JSON sidecar that says how. */
import { existsSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import type { NDArray } from "../../src/array/ndarray.ts";
import { decodeSafetensors } from "../../src/formats/safetensors.ts";

/** A loaded fixture; `Settings` and `Expected` are what its test knows of the sidecar's form. */
export interface Fixture<Settings, Expected> {
  readonly name: string;
  /** Names of all tensors, in file order. */
  readonly names: readonly string[];
  /** @throws Error if the fixture has no such tensor. */
  tensor(name: string): NDArray;
  readonly settings: Settings;
  readonly expected: Expected;
}

interface Sidecar<Settings, Expected> {
  readonly settings: Settings;
  readonly expected: Expected;
  readonly tensors: Readonly<Record<string, { readonly shape: readonly number[] }>>;
}

/** The folder of the fixtures: `GOLDEN_DIR`, or this one. */
export const goldenFolder = process.env.GOLDEN_DIR ?? import.meta.dirname;

/**
 * Reads `name.safetensors` and `name.json`.
 * @throws Error if either is missing or they do not list the same tensors and shapes.
 */
export function loadFixture<Settings = Record<string, unknown>, Expected = Record<string, unknown>>(
  name: string,
): Fixture<Settings, Expected> {
  const sidecar = JSON.parse(read(`${name}.json`).toString("utf8")) as Sidecar<Settings, Expected>;
  const { tensors } = decodeSafetensors(new Uint8Array(read(`${name}.safetensors`)));
  checkSameTensors(name, sidecar.tensors, tensors);
  return {
    name,
    names: [...tensors.keys()],
    tensor(key) {
      const found = tensors.get(key);
      if (!found) throw new Error(`fixture ${name} has no tensor "${key}", only ${[...tensors.keys()].join(", ")}`);
      return found;
    },
    settings: sidecar.settings,
    expected: sidecar.expected,
  };
}

/**
 * The cases a test is to run over, which must be at least one, so that an empty fixture fails instead of passing.
 * @throws Error if there is none.
 */
export function atLeastOne<T>(cases: Iterable<T>, what: string): T[] {
  const list = [...cases];
  if (list.length === 0) throw new Error(`golden test: no ${what} in ${goldenFolder}`);
  return list;
}

function read(file: string): Buffer {
  const path = join(goldenFolder, file);
  if (!existsSync(path)) throw new Error(`golden fixture missing: ${relative(process.cwd(), path)}`);
  return readFileSync(path);
}

function checkSameTensors(name: string, listed: Sidecar<unknown, unknown>["tensors"], stored: Map<string, NDArray>) {
  for (const [key, { shape }] of Object.entries(listed)) {
    const found = stored.get(key)?.shape;
    if (found?.join() !== shape.join()) {
      throw new Error(
        `fixture ${name}: ${key} is [${shape}] in the JSON, ${found ? `[${found}]` : "missing"} in the file`,
      );
    }
  }
  for (const key of stored.keys()) {
    if (!(key in listed)) throw new Error(`fixture ${name}: ${key} is in the file, but not in the JSON`);
  }
}
