/** Features as matrices: their shape, and some of their rows. */
import { createHash } from "node:crypto";
import { InputError } from "../../array/input-error.ts";
import { NDArray } from "../../array/ndarray.ts";
import { permutation } from "../../array/random.ts";

/** [n, d]: what a network sees in n images. */
export type Features = NDArray<"float32">;

/** The shape [n, d] of features. @throws InputError if they have another number of axes. */
export function rowsAndWidth(features: Features): readonly [n: number, d: number] {
  if (features.shape.length !== 2) throw new InputError(`features are [n, d], got the shape [${features.shape}]`);
  return features.shape as readonly number[] as readonly [number, number];
}

/** The common width of two sets of features. @throws InputError if they differ in it. */
export function commonWidth(a: Features, b: Features): number {
  const [, width] = rowsAndWidth(a);
  const [, other] = rowsAndWidth(b);
  if (width !== other) throw new InputError(`features of dimension ${width} cannot be compared with ${other}`);
  return width;
}

/** At most `count` rows of a set of `n`, random ones that are the same for each `purpose` and `step`, ascending. */
export const someRows = (n: number, count: number, purpose: string, step = 0): Int32Array =>
  permutation({ seed: 0, purpose, step, index: 0 }, n).slice(0, count).sort();

/** The rows of these numbers, copied, in their order. */
export function rowsOf(features: Features, rows: Int32Array): Features {
  const [, d] = rowsAndWidth(features);
  const data = new Float32Array(rows.length * d);
  rows.forEach((row, i) => {
    data.set(features.data.subarray(row * d, (row + 1) * d), i * d);
  });
  return new NDArray("float32", [rows.length, d], data);
}

/** How many rows of [n, d] differ from each other in any bit. */
export function distinctRows(features: Features): number {
  const [n, d] = rowsAndWidth(features);
  const { buffer, byteOffset } = features.data;
  const seen = new Set<string>();
  for (let row = 0; row < n; row++) {
    seen.add(
      createHash("sha1")
        .update(new Uint8Array(buffer, byteOffset + 4 * row * d, 4 * d))
        .digest("base64"),
    );
  }
  return seen.size;
}
