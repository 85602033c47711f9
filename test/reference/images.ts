/** Reference rules of the operations on images [N, C, H, W]. */
import { at, type ReferenceRule, type ReferenceRules, tabulate, type Value } from "./value.ts";

type Image = "conv2d" | "conv2dInputGradient" | "conv2dWeightGradient" | "maxPool2d" | "averagePool2d";
type Four = [number, number, number, number];

interface Geometry {
  readonly stride: number;
  /** Of rows and of columns. */
  readonly padding: readonly [number, number];
}

/** Calls `use` for each (output, image, weight) index triple that a convolution multiplies. */
function forTaps(
  [n, c, h, w]: Four,
  [o, , kh, kw]: Four,
  { stride, padding }: Geometry,
  [outH, outW]: readonly [number, number],
  use: (y: Four, x: Four, k: Four) => void,
): void {
  tabulate([n, o, outH, outW, c, kh, kw], ([image, out, row, column, channel, i, j]) => {
    const y = row! * stride + i! - padding[0];
    const x = column! * stride + j! - padding[1];
    const inside = y >= 0 && y < h && x >= 0 && x < w;
    if (inside) use([image!, out!, row!, column!], [image!, channel!, y, x], [out!, channel!, i!, j!]);
    return 0;
  });
}

const pooledSize = (size: number, kernel: number, stride: number, padding: number): number =>
  Math.floor((size + 2 * padding - kernel) / stride) + 1;

function addAt({ shape, data }: Value, [a, b, c, d]: Four, value: number): void {
  const [, sizeB, sizeC, sizeD] = shape as Four;
  data[((a * sizeB + b) * sizeC + c) * sizeD + d]! += value;
}

const zeros = (shape: readonly number[]): Value => tabulate(shape, () => 0);

const pool =
  <K extends "maxPool2d" | "averagePool2d">(reduce: (window: readonly number[]) => number): ReferenceRule<K> =>
  ([x], attributes) => {
    const { kernel, stride, padding } = attributes;
    const [n, c, h, w] = x!.shape as Four;
    const shape = [n, c, pooledSize(h, kernel, stride, padding), pooledSize(w, kernel, stride, padding)];
    const result = tabulate(shape, ([image, channel, row, column]) => {
      const window: number[] = [];
      for (let y = row! * stride - padding; y < row! * stride - padding + kernel; y++) {
        for (let z = column! * stride - padding; z < column! * stride - padding + kernel; z++) {
          if (y >= 0 && y < h && z >= 0 && z < w) window.push(at(x!, [image!, channel!, y, z]));
        }
      }
      return reduce(window);
    });
    return [result];
  };

export const images: ReferenceRules<Image> = {
  conv2d: ([x, weight, bias], attributes) => {
    const [n, , h, w] = x!.shape as Four;
    const [o, , kh, kw] = weight!.shape as Four;
    const { stride, padding } = attributes;
    const size = [pooledSize(h, kh, stride, padding[0]), pooledSize(w, kw, stride, padding[1])] as const;
    const result = tabulate([n, o, ...size], ([, out]) => (bias ? at(bias, [out!]) : 0));
    forTaps(x!.shape as Four, weight!.shape as Four, attributes, size, (to, from, tap) => {
      addAt(result, to, at(x!, from) * at(weight!, tap));
    });
    return [result];
  },
  conv2dInputGradient: ([dy, weight], { inputSize, ...geometry }) => {
    const [n, , outH, outW] = dy!.shape as Four;
    const result = zeros([n, weight!.shape[1]!, ...inputSize]);
    forTaps(result.shape as Four, weight!.shape as Four, geometry, [outH, outW], (from, to, tap) => {
      addAt(result, to, at(dy!, from) * at(weight!, tap));
    });
    return [result];
  },
  conv2dWeightGradient: ([dy, x], { kernelSize, ...geometry }) => {
    const [, o, outH, outW] = dy!.shape as Four;
    const result = zeros([o, x!.shape[1]!, ...kernelSize]);
    forTaps(x!.shape as Four, result.shape as Four, geometry, [outH, outW], (to, from, tap) => {
      addAt(result, tap, at(dy!, to) * at(x!, from));
    });
    return [result];
  },
  maxPool2d: pool((window) => Math.max(...window)),
  averagePool2d: pool((window) => window.reduce((sum, value) => sum + value, 0) / window.length),
};
