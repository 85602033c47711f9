/** Derivatives without any rule: what gradient rules are judged by. */
import type { Tensor } from "../../src/graph/tensor.ts";
import { evaluate, type Value } from "./evaluate.ts";

/** ∂loss/∂(fed tensor) by (f(x + h) − f(x − h)) / 2h in float64, whose error is of order h². */
export function centralDifferences(loss: Tensor, feeds: Readonly<Record<string, Value>>, name: string): Float64Array {
  const { shape, data } = feeds[name]!;
  const lossAt = (i: number, value: number): number => {
    const moved = data.slice();
    moved[i] = value;
    return evaluate({ outputs: { loss } }, { ...feeds, [name]: { shape, data: moved } }).loss!.data[0]!;
  };
  const h = 1e-5;
  return data.map((value, i) => (lossAt(i, value + h) - lossAt(i, value - h)) / (2 * h));
}
