/**
 * Resampling with the arithmetic of Pillow, bit for bit: fixed-point weights, first along rows and then along columns,
 * rounded to bytes in between. Models were trained on images resampled like this, and no other resampler gives the same.
 * Source: Pillow's `Resample.c`; the weights are those of an antialiased filter, which widens when an image shrinks.
 * Since 2026 (12.3, 13) it takes columns first where the height shrinks much more than the width; this is the order
 * of all versions before, and so of the released models.
 */
import { NDArray } from "../../array/ndarray.ts";
import { type FilterName, filterTaps } from "./filter-taps.ts";

export type { FilterName };

/** A part of the resampled image: only this is computed, with the same numbers as in the whole. */
export interface Window {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** Binary places of the weights: a sum of 255 times weights, the negative ones included, still fits 32 bits. */
const precisionBits = 32 - 8 - 2;

/**
 * An image [H, W, C] as the one of `width` × `height` that Pillow's `resize` gives, or a window of that.
 * Memory is of the order of the window times the rows that it needs, however long the sides are.
 * @throws RangeError for a size that is not positive, or a window that is not inside.
 */
export function resample(
  image: NDArray<"uint8">,
  width: number,
  height: number,
  filter: FilterName,
  window: Window = { left: 0, top: 0, width, height },
): NDArray<"uint8"> {
  const [h, w, channels] = image.shape as readonly [number, number, number];
  const { left, top } = window;
  const inside = left >= 0 && top >= 0 && left + window.width <= width && top + window.height <= height;
  const sizes = [h, w, width, height, window.width, window.height];
  if (![...sizes, left, top].every(Number.isSafeInteger) || Math.min(...sizes) < 1 || !inside) {
    throw new RangeError(
      `resample [${image.shape}] to ${width} × ${height}: no window ${window.width} × ${window.height} at ${left}, ${top}`,
    );
  }
  // A side that keeps its length is copied: Pillow has no pass for it.
  const across = width === w ? copying(left, window.width) : taps(w, width, filter, left, window.width);
  const down = height === h ? copying(top, window.height) : taps(h, height, filter, top, window.height);
  const firstRow = down.starts[0]!;
  const rows = down.starts.at(-1)! + down.weights.at(-1)!.length - firstRow;
  const stretched = new Uint8Array(rows * window.width * channels); // [rows, width of the window, C]
  for (let y = 0; y < rows; y++) {
    const source = image.data.subarray((firstRow + y) * w * channels, (firstRow + y + 1) * w * channels);
    stretchRow(source, across, channels, stretched.subarray(y * window.width * channels));
  }
  const result = new Uint8Array(window.height * window.width * channels);
  combineRows(stretched, firstRow, down, window.width * channels, result);
  return new NDArray("uint8", [window.height, window.width, channels], result);
}

/** For each output place the inputs that count, from `starts` on, and their fixed-point weights. */
interface Taps {
  readonly starts: readonly number[];
  readonly weights: readonly Int32Array[];
}

const one = Int32Array.of(1 << precisionBits);

const copying = (first: number, count: number): Taps => ({
  starts: Array.from({ length: count }, (_, i) => first + i),
  weights: Array.from({ length: count }, () => one),
});

/** Taps of the output places `first` … `first + count − 1` of a side that goes from `from` to `to` pixels. */
function taps(from: number, to: number, name: FilterName, first: number, count: number): Taps {
  const exact = filterTaps(from, to, name, first, count);
  return {
    starts: exact.map(({ start }) => start),
    weights: exact.map(({ weights }) => Int32Array.from(weights, fixedPoint)),
  };
}

/** Rounded half away from zero. */
const fixedPoint = (weight: number): number => Math.trunc(weight * (1 << precisionBits) + (weight < 0 ? -0.5 : 0.5));

/** One row of pixels through the taps, each channel for itself. */
function stretchRow(source: Uint8Array, { starts, weights }: Taps, channels: number, target: Uint8Array): void {
  for (let x = 0; x < starts.length; x++) {
    const own = weights[x]!;
    for (let c = 0; c < channels; c++) {
      let sum = 1 << (precisionBits - 1);
      let at = starts[x]! * channels + c;
      for (let k = 0; k < own.length; k++, at += channels) sum += source[at]! * own[k]!;
      target[x * channels + c] = clipped(sum);
    }
  }
}

/** Whole rows of `length` bytes, the first of which is row `firstRow` of the image, through the taps. */
function combineRows(
  rows: Uint8Array,
  firstRow: number,
  { starts, weights }: Taps,
  length: number,
  target: Uint8Array,
) {
  const sums = new Int32Array(length);
  for (let y = 0; y < starts.length; y++) {
    sums.fill(1 << (precisionBits - 1));
    weights[y]!.forEach((weight, k) => {
      const start = (starts[y]! - firstRow + k) * length;
      for (let i = 0; i < length; i++) sums[i]! += rows[start + i]! * weight;
    });
    for (let i = 0; i < length; i++) target[y * length + i] = clipped(sums[i]!);
  }
}

/** A fixed-point sum as a byte. */
const clipped = (sum: number): number => Math.min(255, Math.max(0, sum >> precisionBits));
