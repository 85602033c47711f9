/** Reference rules of the operations that pick, sum and route rows of the first axis. */
import { type ReferenceRules, tabulate, type Value } from "./value.ts";

const rowSize = (x: Value): number => x.shape.slice(1).reduce((product, size) => product * size, 1);

/** The rows of x that `index` names. */
function pick(x: Value, index: Value): Value {
  const size = rowSize(x);
  const data = new Float64Array(index.data.length * size);
  index.data.forEach((row, i) => {
    if (!(row >= 0 && row < x.shape[0]!)) throw new RangeError(`row ${row} of ${x.shape[0]}`);
    data.set(x.data.subarray(row * size, (row + 1) * size), i * size);
  });
  return { shape: [...index.shape, ...x.shape.slice(1)], data };
}

/** `inverse` must lead from each row to its place in [kept; dropped]. */
function checkRoutes(kept: Value, dropped: Value, inverse: Value): void {
  const order = [...kept.data, ...dropped.data];
  const agrees = order.length === inverse.data.length && order.every((row, place) => inverse.data[row] === place);
  if (!agrees) throw new RangeError(`kept [${kept.data}], dropped [${dropped.data}], inverse [${inverse.data}]`);
}

export const rows: ReferenceRules<"gather" | "scatterAdd" | "partitionRows" | "mergeRows"> = {
  gather: ([x, index]) => [pick(x!, index!)],
  scatterAdd: ([index, updates], attributes, { sized }) => {
    const shape = [...sized([attributes.rows]), ...updates!.shape.slice(index!.shape.length)];
    const result = tabulate(shape, () => 0);
    const size = rowSize(result);
    index!.data.forEach((row, i) => {
      if (!(row >= 0 && row < shape[0]!)) throw new RangeError(`row ${row} of ${shape[0]}`);
      for (let j = 0; j < size; j++) result.data[row * size + j]! += updates!.data[i * size + j]!;
    });
    return [result];
  },
  partitionRows: ([x, kept, dropped, inverse]) => {
    checkRoutes(kept!, dropped!, inverse!);
    return [pick(x!, kept!), pick(x!, dropped!)];
  },
  mergeRows: ([a, b, kept, dropped, inverse]) => {
    checkRoutes(kept!, dropped!, inverse!);
    const data = Float64Array.from([...a!.data, ...b!.data]);
    return [pick({ shape: [a!.shape[0]! + b!.shape[0]!, ...a!.shape.slice(1)], data }, inverse!)];
  },
};
