/** FID's Inception-v3 in the fixture: its outputs are stored, its weights are a formula of (name, index). */
import { float32, type NDArray } from "../../src/array/ndarray.ts";
import type { StoredTensor } from "../../src/formats/weight-file.ts";
import { formulaWeight } from "./autoencoder-fixture.ts";
import { loadFixture } from "./fixture.ts";

interface Settings {
  /** Names and shapes of torchvision's state dict, in forward order. */
  readonly weights: Readonly<Record<string, readonly number[]>>;
}

/** What `scripts/inception-fixture.py` wrote. */
export const fixture = loadFixture<Settings>("inception");

export const stored = (name: "pooled" | "spatial" | "logits") => fixture.tensor(name) as NDArray<"float32">;

/** Bytes [3, 40, 28, 3]. */
export const images = fixture.tensor("images") as NDArray<"uint8">;

/** As `formula` in the script: gains around 1.25 and variances around 0.75, so that activations keep their size. */
export function inceptionWeight(name: string, shape: readonly number[]): NDArray<"float32"> {
  const { data } = formulaWeight(name, shape); // one axis: 0.1 · uniform, and 1 more where the name ends in weight
  if (shape.length > 1) return float32(data, shape);
  if (name.endsWith("bn.weight")) return mapped(shape, data, (w) => 1.25 + 2.5 * (w - 1));
  if (name.endsWith("running_var")) return mapped(shape, data, (w) => 0.75 + 5 * w);
  return mapped(shape, data, (w) => 2 * w);
}

const mapped = (shape: readonly number[], data: Float32Array, change: (w: number) => number) =>
  float32(Float32Array.from(data, change), shape);

/** The tensors of a file with the fixture's weights. */
export function fileOf(shapes: Readonly<Record<string, readonly number[]>> = fixture.settings.weights) {
  const entries = Object.entries(shapes).map(([name, shape]): [string, StoredTensor] => [
    name,
    { name, dtype: "float32", shape, read: async () => inceptionWeight(name, shape) },
  ]);
  return new Map(entries);
}
