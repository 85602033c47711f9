/** Which inputs count for each place of a resampled side, and how much: the antialiased filters of Pillow's `Resample.c`. */

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
export interface Tap {
  readonly start: number;
  /** They sum to 1. */
  readonly weights: readonly number[];
}

/**
 * Taps of the output places `first` … `first + count − 1` of a side that goes from `from` to `to` pixels. A filter widens
 * when an image shrinks.
 */
export function filterTaps(from: number, to: number, name: FilterName, first = 0, count = to): Tap[] {
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
    const total = exact.reduce((sum, weight) => sum + weight, 0);
    return { start, weights: exact.map((weight) => (total === 0 ? weight : weight / total)) };
  });
}
