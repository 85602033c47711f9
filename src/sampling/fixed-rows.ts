/** Any number of rows through a graph of a fixed number: products of other sizes may add in another order, to other bits. */
import { NDArray, sizeOf, zeros } from "../array/ndarray.ts";
import type { NamedArrays } from "../engine/engine.ts";

/** Runs `rows` rows of all feeds in parts of `size`, the last part padded with zeros; scalars go with every part. */
export async function inFixedRows(
  rows: number,
  size: number,
  feeds: NamedArrays,
  run: (part: NamedArrays) => Promise<NDArray>,
): Promise<NDArray<"float32">> {
  const parts: NDArray<"float32">[] = [];
  for (let first = 0; first < rows; first += size) {
    const count = Math.min(size, rows - first);
    const part = Object.entries(feeds).map(([name, x]) => [
      name,
      x.shape.length === 0 ? x : padded(x, first, count, size),
    ]);
    parts.push((await run(Object.fromEntries(part))).rows(0, count) as NDArray<"float32">);
  }
  const shape = [rows, ...parts[0]!.shape.slice(1)];
  const all = new Float32Array(sizeOf(shape));
  parts.forEach(({ data }, i) => {
    all.set(data, i * size * sizeOf(shape.slice(1)));
  });
  return new NDArray("float32", shape, all);
}

function padded(x: NDArray, first: number, count: number, size: number): NDArray {
  const own = x.rows(first, first + count);
  if (count === size) return own;
  const whole = zeros(x.dtype, [size, ...x.shape.slice(1)]);
  (whole.data as Float32Array).set(own.data as Float32Array);
  return whole;
}
