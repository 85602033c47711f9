/** Reference rules of the operations that reduce axes or move elements. */
import { at, atBroadcast, type ReferenceRule, type ReferenceRules, tabulate } from "./value.ts";

type ReductionOrLayout =
  | "sum"
  | "max"
  | "reshape"
  | "transpose"
  | "broadcast"
  | "concat"
  | "split"
  | "slice"
  | "pad"
  | "stopGradient"
  | "controlDependency";

const reduction =
  <K extends "sum" | "max">(start: number, combine: (a: number, b: number) => number): ReferenceRule<K> =>
  ([x], { axes, keepDims }) => {
    const kept = x!.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
    const result = tabulate(kept, () => start);
    tabulate(x!.shape, (index) => {
      let flat = 0;
      for (let axis = 0; axis < kept.length; axis++) {
        flat = flat * kept[axis]! + (axes.includes(axis) ? 0 : index[axis]!);
      }
      result.data[flat] = combine(result.data[flat]!, at(x!, index));
      return 0;
    });
    const shape = keepDims ? kept : x!.shape.filter((_, axis) => !axes.includes(axis));
    return [{ shape, data: result.data }];
  };

const shifted = (index: readonly number[], axis: number, by: number): number[] =>
  index.map((i, j) => (j === axis ? i + by : i));

const resized = (shape: readonly number[], axis: number, size: number): number[] =>
  shape.map((old, j) => (j === axis ? size : old));

export const reductionsAndLayout: ReferenceRules<ReductionOrLayout> = {
  sum: reduction(0, (a, b) => a + b),
  max: reduction(Number.NEGATIVE_INFINITY, Math.max),
  reshape: ([x], { shape }, { sized }) => [{ shape: sized(shape), data: x!.data }],
  transpose: ([x], { permutation }) => [
    tabulate(
      permutation.map((axis) => x!.shape[axis]!),
      (index) => {
        const from: number[] = [];
        permutation.forEach((axis, i) => {
          from[axis] = index[i]!;
        });
        return at(x!, from);
      },
    ),
  ],
  broadcast: ([x], { shape }, { sized }) => [tabulate(sized(shape), (index) => atBroadcast(x!, index))],
  concat: (inputs, { axis }) => {
    const whole = inputs.reduce((sum, x) => sum + x.shape[axis]!, 0);
    const element = (index: readonly number[]): number => {
      let before = 0;
      for (const x of inputs) {
        const size = x.shape[axis]!;
        if (index[axis]! < before + size) return at(x, shifted(index, axis, -before));
        before += size;
      }
      throw new RangeError(`[${index}] is outside the concatenation`);
    };
    return [tabulate(resized(inputs[0]!.shape, axis, whole), element)];
  },
  split: ([x], { axis, parts }) => {
    const size = x!.shape[axis]! / parts;
    const part = (p: number) =>
      tabulate(resized(x!.shape, axis, size), (index) => at(x!, shifted(index, axis, p * size)));
    return Array.from({ length: parts }, (_, p) => part(p));
  },
  slice: ([x], { axis, start, end }) => [
    tabulate(resized(x!.shape, axis, end - start), (index) => at(x!, shifted(index, axis, start))),
  ],
  pad: ([x], { axis, before, after }) => {
    const size = x!.shape[axis]!;
    const element = (index: readonly number[]) => {
      const i = index[axis]! - before;
      return i >= 0 && i < size ? at(x!, shifted(index, axis, -before)) : 0;
    };
    return [tabulate(resized(x!.shape, axis, before + size + after), element)];
  },
  stopGradient: ([x]) => [x!],
  controlDependency: ([x]) => [x!],
};
