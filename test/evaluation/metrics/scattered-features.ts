/** Made-up features that are the same in every run. */
import { float32, type NDArray } from "../../../src/array/ndarray.ts";
import { normals } from "../../../src/array/random.ts";

/** [n, d], uniform in [shift − 1, shift + 1), correlated between neighbouring columns. */
export function scatteredFeatures(n: number, d: number, seed: number, shift = 0): NDArray<"float32"> {
  let state = seed;
  const values = new Float32Array(n * d);
  for (let i = 0; i < values.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const fresh = state / 2 ** 31 - 1;
    values[i] = i % d === 0 ? fresh + shift : 0.8 * fresh + 0.2 * values[i - 1]! + 0.8 * shift;
  }
  return float32(values, [n, d]);
}

/** [n, 1]: one feature of each, by hand. */
export const line = (...values: number[]): NDArray<"float32"> => float32(values, [values.length, 1]);

/** [n, d], independent normal numbers. */
export function normalFeatures(n: number, d: number, seed: number, mean = 0, deviation = 1): NDArray<"float32"> {
  const values = normals({ seed, purpose: "test features", step: 0, index: 0 }, n * d);
  return float32(
    values.map((z) => mean + deviation * z),
    [n, d],
  );
}
