/** What the reference interpreter computes with: float64 numbers under a shape, whatever the graph's element type. */
import type { Shape } from "../../src/graph/dim.ts";
import type { Op, OpAttributes } from "../../src/graph/op.ts";
import type { Node } from "../../src/graph/tensor.ts";

/** Row-major numbers; int32 and bool tensors are held as float64 too. */
export interface Value {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/** What a rule may look up besides its operands. */
export interface Surroundings<K extends Op = Op> {
  readonly node: Node<K>;
  readonly feeds: Readonly<Record<string, Value>>;
  /** The shape with the sizes of this run in place of symbols. */
  sized(shape: Shape): number[];
}

/** Values of the operands → values of the outputs. */
export type ReferenceRule<K extends Op> = (
  inputs: readonly Value[],
  attributes: OpAttributes[K],
  surroundings: Surroundings<K>,
) => readonly Value[];

export type ReferenceRules<K extends Op> = { readonly [P in K]: ReferenceRule<P> };

/** A value whose element at each index is what `element` says. */
export function tabulate(shape: readonly number[], element: (index: readonly number[]) => number): Value {
  const count = shape.reduce((product, dim) => product * dim, 1);
  const data = new Float64Array(count);
  const index = shape.map(() => 0);
  for (let i = 0; i < count; i++) {
    data[i] = element(index);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis]! += 1;
      if (index[axis]! < shape[axis]!) break;
      index[axis] = 0;
    }
  }
  return { shape, data };
}

/** The element at an index. */
export function at({ shape, data }: Value, index: readonly number[]): number {
  let flat = 0;
  for (let axis = 0; axis < shape.length; axis++) {
    if (index[axis]! < 0 || index[axis]! >= shape[axis]!) throw new RangeError(`[${index}] is outside [${shape}]`);
    flat = flat * shape[axis]! + index[axis]!;
  }
  return data[flat]!;
}

/** The element that NumPy broadcasting puts at an index of the (larger) result. */
export function atBroadcast(x: Value, index: readonly number[]): number {
  const own = index.slice(index.length - x.shape.length);
  return at(
    x,
    own.map((i, axis) => (x.shape[axis] === 1 ? 0 : i)),
  );
}

/** Σ f(i) for i in [0, count). */
export function total(count: number, term: (i: number) => number): number {
  let result = 0;
  for (let i = 0; i < count; i++) result += term(i);
  return result;
}
