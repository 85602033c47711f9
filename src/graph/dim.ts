/** Sizes of axes: numbers, or names for sizes that are known only when a graph runs. */

/** A named size. With `capacity`, inputs are padded to that many rows and the padded rows are ignored. */
export interface SymbolicDim {
  readonly name: string;
  readonly capacity?: number;
}

export type Dim = number | SymbolicDim;
export type Shape = readonly Dim[];

/** A size that is known only when the graph runs. */
export function symbolicDim(name: string, capacity?: number): SymbolicDim {
  return capacity === undefined ? { name } : { name, capacity };
}

export function sameDim(a: Dim, b: Dim): boolean {
  return typeof a === "number" || typeof b === "number" ? a === b : a.name === b.name;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => sameDim(dim, b[i]!));
}

/** The size as text: `8` or `kept.3`. */
export function printDim(dim: Dim): string {
  return typeof dim === "number" ? String(dim) : dim.name;
}

/** The shape as text: `[N, 49, 64]`. */
export function printShape(shape: Shape): string {
  return `[${shape.map(printDim).join(", ")}]`;
}

/** True if both shapes hold the same number of elements for every value of their symbols. */
export function sameElementCount(a: Shape, b: Shape): boolean {
  const [countA, symbolsA] = elementCount(a);
  const [countB, symbolsB] = elementCount(b);
  return countA === countB && (countA === 0 || symbolsA === symbolsB);
}

function elementCount(shape: Shape): [number, string] {
  const symbols: string[] = [];
  let count = 1;
  for (const dim of shape) {
    if (typeof dim === "number") count *= dim;
    else symbols.push(dim.name);
  }
  return [count, symbols.sort().join("*")];
}

/** NumPy broadcasting of two shapes; undefined if they do not fit. */
export function broadcastShapes(a: Shape, b: Shape): Shape | undefined {
  const rank = Math.max(a.length, b.length);
  const result: Dim[] = [];
  for (let i = 0; i < rank; i++) {
    const dimA = a[i - rank + a.length] ?? 1;
    const dimB = b[i - rank + b.length] ?? 1;
    if (sameDim(dimA, dimB) || dimB === 1) result.push(dimA);
    else if (dimA === 1) result.push(dimB);
    else return undefined;
  }
  return result;
}
