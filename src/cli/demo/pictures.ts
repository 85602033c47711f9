/** The demo's picture for a README: rows of digits from the same noise, three models side by side. */
import { float32, type NDArray, sizeOf } from "../../array/ndarray.ts";
import { encodePng, imageGrid } from "../../formats/image-bytes.ts";

const COLUMNS = 10;
const ROWS = 6;

/** PNG of 6 rows; each row shows ten images of every model, then a blank column. Images are [N, 1, S, S], N ≥ 60 or fewer rows. */
export function sideBySide(models: readonly NDArray<"float32">[]): Uint8Array {
  const [count, ...shape] = models[0]!.shape as readonly [number, ...number[]];
  const size = sizeOf(shape);
  const rows = Math.max(1, Math.min(ROWS, Math.floor(count / COLUMNS)));
  const blank = new Float32Array(size).fill(1);
  const cells: Float32Array[] = [];
  for (let row = 0; row < rows; row++) {
    models.forEach((images, model) => {
      if (model > 0) cells.push(blank);
      for (let column = 0; column < COLUMNS; column++) {
        const at = Math.min(row * COLUMNS + column, count - 1);
        cells.push(images.data.subarray(at * size, (at + 1) * size));
      }
    });
  }
  const values = new Float32Array(cells.length * size);
  cells.forEach((cell, i) => {
    values.set(cell, i * size);
  });
  const columns = models.length * (COLUMNS + 1) - 1;
  return encodePng(imageGrid(float32(values, [cells.length, ...shape]), columns, { scale: 1, gap: 1 }));
}
