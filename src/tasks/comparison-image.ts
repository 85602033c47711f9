/** Images of two models and their differences as one PNG. N images [N, C, S, S], about [−1, 1]. */
import { NDArray, sizeOf } from "../array/ndarray.ts";
import { encodePng, imageGrid } from "../formats/image-bytes.ts";

type Images = NDArray<"float32">;
type Pair = readonly [Images, Images];

/** Images in a row; more of them form another band below. */
const COLUMNS = 8;
/** Small images are enlarged up to about this many pixels. */
const LARGE_ENOUGH = 96;

/** Bands of three rows, first model, second model, second − first times `amplification` around gray, as PNG. */
export function comparisonPng([a, b]: Pair, amplification: number): Uint8Array {
  const amplified = b.data.map((value, i) => (value - a.data[i]!) * amplification);
  const difference = new NDArray("float32", b.shape, amplified);
  const [count, channels, side] = a.shape as [number, number, number];
  const columns = Math.min(COLUMNS, count);
  const bands = Math.ceil(count / columns);
  const size = sizeOf(a.shape.slice(1));
  const all = new Float32Array(3 * bands * columns * size).fill(1); // white where the last band is not full
  for (let band = 0; band < bands; band++) {
    const end = Math.min(count, (band + 1) * columns);
    for (const [row, images] of [a, b, difference].entries()) {
      all.set(images.rows(band * columns, end).data, (3 * band + row) * columns * size);
    }
  }
  const grid = new NDArray("float32", [3 * bands * columns, channels, side, side], all);
  return encodePng(imageGrid(grid, columns, { scale: Math.max(1, Math.floor(LARGE_ENOUGH / side)) }));
}

/** The power of two, from 1 to 1024, that shows all but the largest hundredth of the differences in full. */
export function amplificationFor([a, b]: Pair): number {
  const differences = Float32Array.from(a.data, (value, i) => Math.abs(value - b.data[i]!)).sort();
  const large = differences[Math.floor(differences.length * 0.99)]!;
  return large === 0 ? 1 : Math.min(1024, Math.max(1, 2 ** Math.floor(-Math.log2(large))));
}

/**
 * The first three channels of latents as red, green and blue, all by one scale: three standard deviations of the first
 * model's numbers fill the range. Missing channels are gray.
 */
export function falseColors([a, b]: Pair): Pair {
  let squares = 0;
  for (const value of a.data) squares += value * value;
  const scale = 1 / (3 * Math.sqrt(squares / a.size) || 1);
  const colored = (latents: Images): Images => {
    const [count, channels, height, width] = latents.shape as [number, number, number, number];
    const plane = height * width;
    const data = new Float32Array(count * 3 * plane);
    for (let n = 0; n < count; n++) {
      const shown = latents.data.subarray(n * channels * plane, (n * channels + Math.min(3, channels)) * plane);
      data.set(
        shown.map((value) => value * scale),
        3 * n * plane,
      );
    }
    return new NDArray("float32", [count, 3, height, width], data);
  };
  return [colored(a), colored(b)];
}
