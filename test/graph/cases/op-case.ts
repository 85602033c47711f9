/** One use of an operation: what it is fed, how it is traced, and the graph that tests run for it. */
import { allocate, type DType, NDArray, sizeOf } from "../../../src/array/ndarray.ts";
import { add, cast, input, mul, parameter, sum } from "../../../src/graph/build.ts";
import { gradient } from "../../../src/graph/gradient.ts";
import type { Graph } from "../../../src/graph/graph.ts";
import type { Op } from "../../../src/graph/op.ts";
import type { Tensor } from "../../../src/graph/tensor.ts";
import { toValue, type Value } from "../../reference/evaluate.ts";
import { type Leaf, N, real, type Sizes } from "./leaf.ts";

export interface OpCase {
  readonly title: string;
  readonly leaves: Readonly<Record<string, Leaf>>;
  /** The first sizes are those of the gradient check; the lowering runs with all of them. */
  readonly sizes: readonly Sizes[];
  /** Why no gradient of this case is checked. */
  readonly forwardOnly?: string;
  trace(x: Readonly<Record<string, Tensor>>): readonly Tensor[];
}

/** The cases of an operation; with a reason if none of them has a gradient to check. */
export type OpCases = readonly OpCase[] | { readonly noGradient: string; readonly cases: readonly OpCase[] };
export type CaseTable<K extends Op> = { readonly [P in K]: OpCases };

const batches: readonly Sizes[] = [{ N: 3 }, { N: 1 }, { N: 0 }];

/** A case whose leaves determine its sizes: batches of 3, 1 and 0 rows if a shape holds N. */
export function opCase<L extends Readonly<Record<string, Leaf>>>(
  title: string,
  leaves: L,
  trace: (x: { readonly [name in keyof L]: Tensor }) => readonly Tensor[],
  options: { readonly sizes?: readonly Sizes[]; readonly forwardOnly?: string } = {},
): OpCase {
  const dynamic = Object.values(leaves).some(({ shape }) => shape.includes(N));
  return { title, leaves, trace: trace as OpCase["trace"], sizes: dynamic ? batches : [{}], ...options };
}

/** Every case of a table with its operation. */
export function listCases(table: CaseTable<Op>): { op: Op; case: OpCase; noGradient: string | undefined }[] {
  return (Object.keys(table) as Op[]).flatMap((op) => {
    const entry = table[op];
    const { cases, noGradient } = "cases" in entry ? entry : { cases: entry, noGradient: undefined };
    return cases.map((item) => ({ op, case: item, noGradient: noGradient ?? item.forwardOnly }));
  });
}

/** A traced case: its outputs `y.i`, and if asked for the loss Σ yᵢ · cotangentᵢ with its gradients `d.name`. */
export interface TracedCase {
  readonly graph: Graph;
  readonly leaves: Readonly<Record<string, Leaf>>;
  /** Names of the leaves that have a gradient. */
  readonly differentiable: readonly string[];
}

export function traceCase(item: OpCase, withGradient: boolean): TracedCase {
  const tensors: Record<string, Tensor> = {};
  for (const [name, { kind, dtype, shape }] of Object.entries(item.leaves)) {
    tensors[name] = kind === "input" ? input(name, shape, dtype) : parameter(name, shape as number[]);
  }
  const ys = item.trace(tensors);
  const outputs: Record<string, Tensor> = Object.fromEntries(ys.map((y, i) => [`y.${i}`, y]));
  if (!withGradient) return { graph: { outputs }, leaves: item.leaves, differentiable: [] };
  const leaves: Record<string, Leaf> = { ...item.leaves };
  const terms = ys.filter(isFloat).map((y, i) => {
    leaves[`cotangent.${i}`] = real(...y.shape);
    return sum(mul(cast(y, "float32"), input(`cotangent.${i}`, y.shape)));
  });
  const loss = terms.reduce((a, b) => add(a, b));
  const differentiable = Object.keys(tensors).filter((name) => isFloat(tensors[name]!));
  const gradients = gradient(
    loss,
    differentiable.map((name) => tensors[name]!),
  );
  differentiable.forEach((name, i) => {
    outputs[`d.${name}`] = gradients[i]!;
  });
  return { graph: { outputs: { ...outputs, loss } }, leaves, differentiable };
}

const isFloat = ({ dtype }: Tensor): boolean => dtype === "float32" || dtype === "float64";

/** The arrays fed under `sizes`; the same for the reference and for an engine. */
export function feedsOf(leaves: Readonly<Record<string, Leaf>>, sizes: Sizes): Record<string, NDArray> {
  return Object.fromEntries(
    Object.entries(leaves).map(([name, leaf]) => {
      const shape = leaf.shape.map((dim) => (typeof dim === "number" ? dim : sizes[dim.name]!));
      const data = allocate(leaf.dtype as Exclude<DType, "int64">, sizeOf(shape));
      data.set(leaf.values(name, data.length, sizes));
      return [name, new NDArray(leaf.dtype, shape, data) as NDArray];
    }),
  );
}

/** The feeds in float64. */
export function valuesOf(feeds: Readonly<Record<string, NDArray>>): Record<string, Value> {
  return Object.fromEntries(Object.entries(feeds).map(([name, array]) => [name, toValue(array)]));
}
