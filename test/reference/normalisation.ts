/** Reference rules of the operations that normalise the last axis. */
import { type ReferenceRules, total } from "./value.ts";

export function softmaxRow(scores: readonly number[]): number[] {
  const largest = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - largest));
  const sum = total(powers.length, (i) => powers[i]!);
  return powers.map((power) => power / sum);
}

export const normalisation: ReferenceRules<"softmax" | "layerNorm"> = {
  softmax: ([x]) => {
    const size = x!.shape.at(-1)!;
    const data = new Float64Array(x!.data.length);
    for (let start = 0; start < data.length; start += size) {
      data.set(softmaxRow([...x!.data.subarray(start, start + size)]), start);
    }
    return [{ shape: x!.shape, data }];
  },
  layerNorm: ([x], { epsilon }) => {
    const size = x!.shape.at(-1)!;
    const rows = x!.data.length / size;
    const data = new Float64Array(x!.data.length);
    const invStd = new Float64Array(rows);
    for (let row = 0; row < rows; row++) {
      const values = x!.data.subarray(row * size, (row + 1) * size);
      const mean = total(size, (i) => values[i]!) / size;
      const variance = total(size, (i) => (values[i]! - mean) ** 2) / size;
      invStd[row] = 1 / Math.sqrt(variance + epsilon);
      for (let i = 0; i < size; i++) data[row * size + i] = (values[i]! - mean) * invStd[row]!;
    }
    return [
      { shape: x!.shape, data },
      { shape: [...x!.shape.slice(0, -1), 1], data: invStd },
    ];
  },
};
