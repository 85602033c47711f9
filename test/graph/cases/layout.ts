/** Cases of reductions, layout, row operations and the two operations that only steer. */
import {
  add,
  broadcast,
  concat,
  controlDependency,
  gather,
  max,
  mergeRows,
  mul,
  pad,
  partitionRows,
  reshape,
  scatterAdd,
  slice,
  split,
  stopGradient,
  sum,
  transpose,
} from "../../../src/graph/build.ts";
import { type Dim, symbolicDim } from "../../../src/graph/dim.ts";
import type { Op } from "../../../src/graph/op.ts";
import type { Tensor } from "../../../src/graph/tensor.ts";
import { distinct, integers, type Leaf, N, real, routedSizes, routeLeaves } from "./leaf.ts";
import { type CaseTable, type OpCase, opCase } from "./op-case.ts";

type Reduce = (x: Tensor, axes?: readonly number[], keepDims?: boolean) => Tensor;

const T = symbolicDim("T");
const D = symbolicDim("D");
const twoSymbols = [
  { N: 3, T: 2 },
  { N: 1, T: 5 },
  { N: 0, T: 2 },
  { N: 2, T: 0 },
];

const reductions = (op: Reduce, draw: (...shape: Dim[]) => Leaf): readonly OpCase[] => [
  opCase("over the last axis", { x: draw(N, 2, 5) }, ({ x }) => [op(x, [-1]), op(x, [-1], true)]),
  opCase("over the middle", { x: draw(N, 3, 2, 2) }, ({ x }) => [op(x, [1, 2]), op(x, [2, 1], true)]),
  opCase("over everything", { x: draw(3, 4) }, ({ x }) => [op(x), op(x, [0, 1], true)]),
];

const routes = routeLeaves();
const routed = { sizes: routedSizes };

export const layoutCases = {
  sum: [
    ...reductions(sum, real),
    opCase("over a batch", { x: real(N, 4) }, ({ x }) => [sum(x, [0]), sum(x, [0], true), sum(x)]),
  ],
  max: [
    ...reductions(max, (...shape) => distinct(shape)),
    // not over an empty batch: nothing has no maximum
    opCase("over a batch", { x: distinct([N, 4]) }, ({ x }) => [max(x, [0])], { sizes: [{ N: 3 }, { N: 1 }] }),
  ],
  reshape: [
    opCase("of a batch", { x: real(N, 4, 6) }, ({ x }) => [reshape(x, [N, 2, 2, 6]), reshape(x, [N, 24])]),
    opCase("that moves a symbol", { x: real(N, 4) }, ({ x }) => [reshape(x, [2, N, 2])]),
    opCase("of two symbols", { x: real(N, T, 4) }, ({ x }) => [reshape(x, [N, T, 2, 2]), reshape(x, [T, 4, N])], {
      sizes: twoSymbols,
    }),
    opCase("of no elements", { x: real(N, 0, 3) }, ({ x }) => [reshape(x, [N, 3, 0]), reshape(x, [0, 5])]),
    opCase("to and from a number", { x: real(1, 1) }, ({ x }) => [mul(reshape(x, []), 3)]),
  ],
  transpose: [
    opCase("of a matrix", { x: real(N, 3) }, ({ x }) => [transpose(x, [1, 0])]),
    opCase("of heads", { x: real(N, 3, 2, 4) }, ({ x }) => [transpose(x, [0, 2, 1, 3])]),
    opCase("that is not its own inverse", { x: real(N, 3, 4) }, ({ x }) => [transpose(x, [2, 0, 1])]),
  ],
  broadcast: [
    opCase("of a column", { x: real(3, 1) }, ({ x }) => [broadcast(x, [2, 3, 4])]),
    opCase("to a batch", { x: real(4), y: real(N, 4) }, ({ x, y }) => [broadcast(x, [N, 4]), y]),
    opCase("of a number", { x: real(), y: real(N) }, ({ x, y }) => [broadcast(x, [2, N]), y]),
    opCase("inside a product", { x: real(3, 1), y: real(N, 3, 4) }, ({ x, y }) => [mul(broadcast(x, [3, 4]), y)]),
  ],
  concat: [
    opCase("of columns", { a: real(N, 2), b: real(N, 1), c: real(N, 3) }, (x) => [concat([x.a, x.b, x.c], 1)]),
    opCase("of one tensor twice", { a: real(2, 3), b: real(1, 3) }, (x) => [concat([x.a, x.b, x.a], 0)]),
    opCase("with an empty part", { a: real(N, 2), b: real(N, 0) }, (x) => [concat([x.a, x.b], -1)]),
  ],
  split: [
    opCase("in three", { x: real(N, 2, 6) }, ({ x }) => split(x, 3, -1)),
    opCase("of which one part is used", { x: real(N, 4, 2) }, ({ x }) => [split(x, 2, 1)[1]!]),
    opCase("in one part", { x: real(2, 2) }, ({ x }) => split(x, 1, 0)),
  ],
  slice: [
    opCase("of each axis", { x: real(4, 5) }, ({ x }) => [slice(x, 0, 1, 3), slice(x, 1, 0, 4), slice(x, -1, 4, 5)]),
    opCase("of a batch", { x: real(N, 5) }, ({ x }) => [slice(x, 1, 2, 4), slice(x, 1, 2, 2)]),
  ],
  pad: [
    opCase("of each axis", { x: real(2, 3) }, ({ x }) => [pad(x, 0, 1, 0), pad(x, 1, 0, 2), pad(x, -1, 2, 1)]),
    opCase("of a batch", { x: real(N, 2, 2) }, ({ x }) => [pad(x, 1, 1, 2)]),
  ],
  gather: [
    opCase("of a table", { x: real(5, 3), i: integers([N], 5) }, ({ x, i }) => [gather(x, i)]),
    opCase("by a matrix of indices", { x: real(4, 2, 2), i: integers([N, 3], 4) }, ({ x, i }) => [gather(x, i)]),
    opCase("of numbers", { x: real(4), i: integers([6], 4) }, ({ x, i }) => [gather(x, i)]),
    opCase("by one index", { x: real(4, 3), i: integers([], 4) }, ({ x, i }) => [gather(x, i)]),
    opCase("of a batch", { x: real(N, 3), i: integers([D], 2) }, ({ x, i }) => [gather(x, i)], {
      sizes: [
        { N: 4, D: 6 },
        { N: 2, D: 1 },
        { N: 3, D: 0 },
      ],
    }),
  ],
  scatterAdd: [
    opCase("of rows that meet", { i: integers([N], 2), x: real(N, 3) }, ({ i, x }) => [scatterAdd(i, x, 4)]),
    opCase("by a matrix of indices", { i: integers([2, 3], 4), x: real(2, 3, 2) }, ({ i, x }) => [scatterAdd(i, x, 4)]),
  ],
  partitionRows: [
    opCase("of vectors", { x: real(N, 3), ...routes }, ({ x, ...r }) => [...partitionRows(x, r)], routed),
    opCase(
      "of images of which only the kept are used",
      { x: real(N, 2, 2), ...routes },
      ({ x, ...r }) => {
        return [partitionRows(x, r)[0]];
      },
      routed,
    ),
  ],
  mergeRows: [
    opCase(
      "of vectors",
      { a: real(symbolicDim("K"), 3), b: real(D, 3), ...routes },
      ({ a, b, ...r }) => {
        return [mergeRows(a, b, r)];
      },
      routed,
    ),
    opCase(
      "after a partition",
      { x: real(N, 2, 2), ...routes },
      ({ x, ...r }) => {
        const [kept, dropped] = partitionRows(x, r);
        return [mergeRows(mul(kept, kept), mul(dropped, 3), r)];
      },
      routed,
    ),
  ],
  stopGradient: {
    noGradient: "its gradient differs from its derivative on purpose; gradient-flow.test.ts checks it",
    cases: [opCase("of a product", { x: real(N, 3) }, ({ x }) => [add(x, stopGradient(mul(x, x)))])],
  },
  controlDependency: [
    opCase("of a batch", { x: real(N, 3), y: real(N, 2) }, ({ x, y }) => [
      mul(controlDependency(mul(x, x), mul(y, 2)), x),
    ]),
    opCase("of numbers", { x: real(), y: real() }, ({ x, y }) => [controlDependency(mul(x, x), mul(y, 2))]),
    opCase("a whole number", { x: real(N, 3), i: integers([2], 5) }, ({ x, i }) => [
      controlDependency(x, add(i, 1)),
      controlDependency(i, x),
    ]),
    opCase("an empty tensor", { x: real(N, 3), y: real(0) }, ({ x, y }) => [controlDependency(x, mul(y, 2))]),
  ],
} satisfies Partial<CaseTable<Op>>;
