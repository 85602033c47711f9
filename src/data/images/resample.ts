/**
 * Resampling with the arithmetic of Pillow, bit for bit: fixed-point weights, first along rows and then along columns,
 * rounded to bytes in between. Models were trained on images resampled like this, and no other resampler gives the same.
 * Source: Pillow's `Resample.c`; the weights are those of an antialiased filter, which widens when an image shrinks.
 * Since 2026 (12.3, 13) it takes columns first where the height shrinks much more than the width; this is the order
 * of all versions before, and so of the released models.
 */

import { NDArray, zeros } from "../../array/ndarray.ts";
import { sumOf } from "../../array/reduce.ts";

/** Where a filter is not zero, and its value. */
interface Filter {
  readonly support: number;
  weight(x: number): number;
}

const sinc = (x: number): number => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));

/** Keys (1981) with a = −1/2, as in Pillow; OpenCV and PyTorch have −3/4. */
function cubic(x: number): number {
  const [a, d] = [-0.5, Math.abs(x)];
  if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0;
}

const filters = {
  box: { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) },
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  bicubic: { support: 2, weight: cubic },
  lanczos: { support: 3, weight: (x) => (x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
} as const satisfies Record<string, Filter>;

/** Names as in Pillow's `Image.Resampling`, in lower case. */
export type FilterName = keyof typeof filters;

/** The inputs that count for one output place, from `start` on. */
interface Tap {
  readonly start: number;
  /** They sum to 1. */
  readonly weights: readonly number[];
}

/**
 * Taps of the output places `first` … `first + count − 1` of a side that goes from `from` to `to` pixels. A filter widens
 * when an image shrinks.
 */
function filterTaps(from: number, to: number, name: FilterName, first = 0, count = to): Tap[] {
  const filter: Filter = filters[name];
  const scale = from / to;
  const widening = Math.max(scale, 1);
  const support = filter.support * widening;
  return Array.from({ length: count }, (_, i) => {
    const center = (first + i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(from, Math.trunc(center + support + 0.5));
    // Multiplied by the reciprocal, not divided: the last bit of a weight may depend on it.
    const exact = Array.from({ length: end - start }, (_, k) =>
      filter.weight((k + start - center + 0.5) * (1 / widening)),
    );
    const total = sumOf(exact);
    return { start, weights: exact.map((weight) => (total === 0 ? weight : weight / total)) };
  });
}

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
  const taps = (from: number, to: number, first: number, count: number): FixedTap[] =>
    from === to
      ? Array.from({ length: count }, (_, i) => ({ start: first + i, weights: one }))
      : filterTaps(from, to, filter, first, count).map(fixedPoint);
  const across = taps(w, width, left, window.width);
  const down = taps(h, height, top, window.height);
  const firstRow = down[0]!.start;
  const rows = down.at(-1)!.start + down.at(-1)!.weights.length - firstRow;
  const stretched = new Uint8Array(rows * window.width * channels); // [rows, width of the window, C]
  for (let y = 0; y < rows; y++) {
    const source = image.data.subarray((firstRow + y) * w * channels, (firstRow + y + 1) * w * channels);
    stretchRow(source, across, channels, stretched.subarray(y * window.width * channels));
  }
  const result = new Uint8Array(window.height * window.width * channels);
  combineRows(stretched, firstRow, down, window.width * channels, result);
  return new NDArray("uint8", [window.height, window.width, channels], result);
}

const one = Int32Array.of(1 << precisionBits);

interface FixedTap {
  readonly start: number;
  readonly weights: Int32Array;
}

/** A tap with fixed-point weights, rounded half away from zero. */
const fixedPoint = ({ start, weights }: Tap): FixedTap => ({
  start,
  weights: Int32Array.from(weights, (weight) => Math.trunc(weight * (1 << precisionBits) + (weight < 0 ? -0.5 : 0.5))),
});

/** One row of pixels through the taps, each channel for itself. */
function stretchRow(source: Uint8Array, taps: readonly FixedTap[], channels: number, target: Uint8Array): void {
  for (let x = 0; x < taps.length; x++) {
    const { start, weights } = taps[x]!;
    for (let c = 0; c < channels; c++) {
      let sum = 1 << (precisionBits - 1);
      let at = start * channels + c;
      for (let k = 0; k < weights.length; k++, at += channels) sum += source[at]! * weights[k]!;
      target[x * channels + c] = clipped(sum);
    }
  }
}

/** Whole rows of `length` bytes, the first of which is row `firstRow` of the image, through the taps. */
function combineRows(
  rows: Uint8Array,
  firstRow: number,
  taps: readonly FixedTap[],
  length: number,
  target: Uint8Array,
) {
  const sums = new Int32Array(length);
  for (const [y, { start, weights }] of taps.entries()) {
    sums.fill(1 << (precisionBits - 1));
    weights.forEach((weight, k) => {
      const from = (start - firstRow + k) * length;
      for (let i = 0; i < length; i++) sums[i]! += rows[from + i]! * weight;
    });
    for (let i = 0; i < length; i++) target[y * length + i] = clipped(sums[i]!);
  }
}

/** A fixed-point sum as a byte. */
const clipped = (sum: number): number => Math.min(255, Math.max(0, sum >> precisionBits));

/** An image [H, W, C] as planes [C, height, width], in the unit of the image. */
export function resizeExact(
  image: NDArray<"uint8">,
  width: number,
  height: number,
  filter: FilterName,
): NDArray<"float32"> {
  const [h, w, channels] = image.shape as readonly [number, number, number];
  const stretched = new Float32Array(channels * h * width); // [C, H, width]
  // A side that keeps its length is copied: Pillow has no pass for it, and the filter would not change it.
  for (const [x, { start, weights }] of filterTaps(w, width, filter).entries()) {
    for (let y = 0; y < h; y++) {
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        const first = (y * w + start) * channels + c;
        for (let k = 0; k < weights.length; k++) sum += image.data[first + k * channels]! * weights[k]!;
        stretched[(c * h + y) * width + x] = sum;
      }
    }
  }
  const result = zeros("float32", [channels, height, width]);
  const sums = new Float64Array(width);
  for (const [y, { start, weights }] of filterTaps(h, height, filter).entries()) {
    for (let c = 0; c < channels; c++) {
      sums.fill(0);
      for (let k = 0; k < weights.length; k++) {
        const row = stretched.subarray((c * h + start + k) * width, (c * h + start + k + 1) * width);
        for (let x = 0; x < width; x++) sums[x]! += row[x]! * weights[k]!;
      }
      result.data.set(sums, (c * height + y) * width);
    }
  }
  return result;
}

/** Where an output pixel lies between two input pixels. */
interface Neighbours {
  readonly lower: number;
  readonly upper: number;
  /** Share of the upper one. */
  readonly share: number;
}

/**
 * `corners`: pixel i of the result lies at i · from / to, TensorFlow 1's `ResizeBilinear` with neither `align_corners` nor
 * `half_pixel_centers`, as in the published graph. `centres`: at (i + ½) · from / to − ½, PyTorch's `interpolate`.
 */
export type PixelPlace = "corners" | "centres";

const f = Math.fround;

/** PyTorch's place is rounded once: multiplied and subtracted in one step. */
function neighbours(from: number, to: number, place: PixelPlace): Neighbours[] {
  const scale = f(from / to);
  return Array.from({ length: to }, (_, i) => {
    const at = place === "corners" ? f(i * scale) : Math.max(0, f(scale * (i + 0.5) - 0.5));
    const lower = Math.min(Math.floor(at), from - 1);
    return { lower, upper: Math.min(lower + 1, from - 1), share: f(at - lower) };
  });
}

/** An image [H, W, C] as planes [C, height, width], in the unit of the image. */
export function resizeBilinear(
  image: NDArray<"uint8"> | NDArray<"float32">,
  width: number,
  height: number,
  place: PixelPlace,
): NDArray<"float32"> {
  const [h, w, channels] = image.shape as readonly [number, number, number];
  const stretched = new Float32Array(channels * h * width); // [C, H, width]
  for (const [x, { lower, upper, share }] of neighbours(w, width, place).entries()) {
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < h; y++) {
        const row = y * w * channels + c;
        const [left, right] = [image.data[row + lower * channels]!, image.data[row + upper * channels]!];
        stretched[(c * h + y) * width + x] = mix(left, right, share);
      }
    }
  }
  const result = zeros("float32", [channels, height, width]);
  for (const [y, { lower, upper, share }] of neighbours(h, height, place).entries()) {
    for (let c = 0; c < channels; c++) {
      const [above, below] = [(c * h + lower) * width, (c * h + upper) * width];
      const to = (c * height + y) * width;
      for (let x = 0; x < width; x++) result.data[to + x] = mix(stretched[above + x]!, stretched[below + x]!, share);
    }
  }
  return result;
}

const mix = (a: number, b: number, share: number): number => f(a + f(f(b - a) * share));
