/** Reference rules of matrix products and attention. */
import { softmaxRow } from "./normalisation.ts";
import { at, atBroadcast, type ReferenceRules, tabulate, total, type Value } from "./value.ts";

type Product =
  | "quantizeRows"
  | "quantizeWeight"
  | "quantizedLinear"
  | "matmul"
  | "linear"
  | "linearWeightGradient"
  | "attention";

/** The element of the last two axes, or of their transpose. */
const entry = (x: Value, leading: readonly number[], i: number, j: number, transposed: boolean): number => {
  const own = leading.slice(leading.length - (x.shape.length - 2));
  return at(x, transposed ? [...own, j, i] : [...own, i, j]);
};

/** To the nearest whole number, of two the even one. */
const roundHalfEven = (x: number): number => {
  const below = Math.floor(x);
  if (x - below !== 0.5) return Math.round(x);
  return below % 2 === 0 ? below : below + 1;
};

/** Rows along the last axis in whole numbers up to 127, and their ranges. */
const quantizedRows = ({ shape, data }: Value): { q: Value; range: Value } => {
  const size = shape.at(-1)!;
  const range = tabulate([...shape.slice(0, -1), 1], () => 0);
  for (const row of range.data.keys()) {
    const largest = data.subarray(row * size, (row + 1) * size).reduce((max, x) => Math.max(max, Math.abs(x)), 0);
    range.data[row] = Math.max(largest, 2 ** -100);
  }
  return {
    q: { shape, data: data.map((x, i) => roundHalfEven((127 * x) / range.data[Math.floor(i / size)]!)) },
    range,
  };
};

const attention = (q: Value, k: Value, v: Value, scale: number): Value => {
  const [, , tokens, depth] = q.shape as [number, number, number, number];
  return tabulate(q.shape, ([n, h, t, d]) => {
    const scores = Array.from({ length: tokens }, (_, s) => {
      return scale * total(depth, (i) => at(q, [n!, h!, t!, i]) * at(k, [n!, h!, s, i]));
    });
    const weights = softmaxRow(scores);
    return total(tokens, (s) => weights[s]! * at(v, [n!, h!, s, d!]));
  });
};

export const products: ReferenceRules<Product> = {
  matmul: ([a, b], { transposeA, transposeB, scale }) => {
    const [rows, inner] = transposeA ? [a!.shape.at(-1)!, a!.shape.at(-2)!] : [a!.shape.at(-2)!, a!.shape.at(-1)!];
    const columns = b!.shape.at(transposeB ? -2 : -1)!;
    const result = tabulate([...a!.shape.slice(0, -2), rows, columns], (index) => {
      const [leading, i, j] = [index.slice(0, -2), index.at(-2)!, index.at(-1)!];
      return scale * total(inner, (k) => entry(a!, leading, i, k, transposeA) * entry(b!, leading, k, j, transposeB));
    });
    return [result];
  },
  linear: ([x, weight, addend], { scale }) => {
    const [out, inner] = weight!.shape as [number, number];
    const result = tabulate([...x!.shape.slice(0, -1), out], (index) => {
      const [leading, o] = [index.slice(0, -1), index.at(-1)!];
      const product = total(inner, (i) => at(x!, [...leading, i]) * at(weight!, [o, i]));
      return scale * product + (addend ? atBroadcast(addend, index) : 0);
    });
    return [result];
  },
  linearWeightGradient: ([dy, x], { scale }) => {
    const [out, inner] = [dy!.shape.at(-1)!, x!.shape.at(-1)!];
    const rows = dy!.data.length / out;
    const element = ([o, i]: readonly number[]) =>
      scale * total(rows, (row) => dy!.data[row * out + o!]! * x!.data[row * inner + i!]!);
    return [tabulate([out, inner], element)];
  },
  quantizeRows: ([x]) => {
    const { q, range } = quantizedRows(x!);
    return [{ shape: q.shape, data: q.data.map((value) => value + 128) }, range];
  },
  quantizeWeight: ([w]) => {
    const { q, range } = quantizedRows(w!);
    const [out, inner] = w!.shape as [number, number];
    return [tabulate([inner, out], ([i, o]) => at(q, [o!, i!])), { shape: [out], data: range.data }];
  },
  quantizedLinear: ([q, rowRange, w, channelRange], { scale }) => {
    const [inner, out] = w!.shape as [number, number];
    const result = tabulate([...q!.shape.slice(0, -1), out], (index) => {
      const [leading, o] = [index.slice(0, -1), index.at(-1)!];
      const product = total(inner, (i) => (at(q!, [...leading, i]) - 128) * at(w!, [i, o]));
      const step = (scale * at(rowRange!, [...leading, 0]) * channelRange!.data[o]!) / 127 ** 2;
      return step * product;
    });
    return [result];
  },
  attention: ([q, k, v], { scale }) => [attention(q!, k!, v!, scale)],
};
