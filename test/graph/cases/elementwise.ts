/** Cases of the leaves and of the operations that work element by element. */
import { float32, NDArray } from "../../../src/array/ndarray.ts";
import {
  abs,
  add,
  cast,
  constant,
  cos,
  div,
  equal,
  erf,
  exp,
  fill,
  gelu,
  geluTanh,
  less,
  log,
  maximum,
  minimum,
  mul,
  neg,
  relu,
  sigmoid,
  silu,
  sin,
  sqrt,
  sub,
  tanh,
  where,
} from "../../../src/graph/build.ts";
import type { Dim } from "../../../src/graph/dim.ts";
import type { Op } from "../../../src/graph/op.ts";
import type { Tensor } from "../../../src/graph/tensor.ts";
import { booleans, distinct, integers, type Leaf, N, nonzero, positive, real, weight, wide } from "./leaf.ts";
import { type CaseTable, type OpCase, opCase } from "./op-case.ts";

type Draw = (...shape: Dim[]) => Leaf;

const unary = (op: (x: Tensor) => Tensor, draw: Draw = real, tails: Draw = draw): readonly OpCase[] => [
  opCase("of a number", { x: draw() }, ({ x }) => [op(x)]),
  opCase("of a batch", { x: draw(N, 2, 3) }, ({ x }) => [op(x)]),
  opCase("of its whole range", { x: tails(60) }, ({ x }) => [op(x)]),
];

type Binary = (a: Tensor, b: Tensor) => Tensor;

/** Every way of broadcasting, both ways round. */
const binary = (op: Binary, drawA: Draw = real, drawB: Draw = drawA): readonly OpCase[] => {
  const pairs: readonly (readonly [string, Dim[], Dim[]])[] = [
    ["of equal shapes", [N, 4], [N, 4]],
    ["of a batch and a row", [N, 3, 4], [4]],
    ["of a row and a batch", [4], [N, 3, 4]],
    ["of a column and a row", [3, 1], [1, 4]],
    ["of a number and a matrix", [], [2, 3]],
    ["of a matrix and a number", [2, 3], []],
    ["of a batch and a column", [N, 3, 2], [3, 1]],
    ["of one-element axes and a batch", [1, 1], [N, 2]],
  ];
  return pairs.map(([title, a, b]) => opCase(title, { a: drawA(...a), b: drawB(...b) }, (x) => [op(x.a, x.b)]));
};

const wholeNumbers = (op: Binary): OpCase =>
  opCase("of whole numbers", { a: integers([N, 4], 5), b: integers([4], 5) }, (x) => [op(x.a, x.b)], {
    forwardOnly: "whole numbers have no gradient",
  });

const aligned: Draw = (...shape) => distinct(shape);
const offset: Draw = (...shape) => distinct(shape, 0.125);
const steps = { noGradient: "a step function has no gradient" };

export const elementwiseCases = {
  input: [opCase("passed through", { x: real(N, 3) }, ({ x }) => [x])],
  parameter: [opCase("passed through", { w: weight(2, 3) }, ({ w }) => [w])],
  constant: [
    opCase("small", { x: real(N, 3) }, ({ x }) => [add(x, constant(float32([1, -2, 0.5])))]),
    opCase("too large to be stored once", { x: real(N, 100) }, ({ x }) => [
      add(x, constant(float32(Array.from({ length: 100 }, (_, i) => i / 7)))),
    ]),
    opCase(
      "whole numbers",
      { x: integers([N, 2], 9) },
      ({ x }) => [add(x, constant(new NDArray("int32", [2], Int32Array.of(-7, 2 ** 30))))],
      { forwardOnly: "whole numbers have no gradient" },
    ),
  ],
  fill: [
    opCase("of a fixed shape", { x: real(4) }, ({ x }) => [mul(x, fill(-2.5, [3, 4]))]),
    opCase("of a symbolic shape", { x: real(N, 4) }, ({ x }) => [mul(x, fill(3, [2, N, 4]))]),
    opCase("of a number", { x: real(4) }, ({ x }) => [mul(x, fill(3, []))]),
  ],
  neg: unary(neg),
  exp: unary(exp),
  log: unary(log, positive),
  sqrt: unary(sqrt, positive),
  abs: unary(abs, nonzero),
  tanh: unary(tanh, real, wide),
  sigmoid: unary(sigmoid, real, wide),
  erf: unary(erf, real, wide),
  cos: unary(cos, real, wide),
  sin: unary(sin, real, wide),
  relu: unary(relu, nonzero),
  silu: unary(silu, real, wide),
  geluTanh: [
    ...unary(geluTanh, real, wide),
    opCase("of a sum with a bias", { x: real(N, 2, 6), b: real(6) }, ({ x, b }) => [geluTanh(add(x, b))]),
    opCase("of a sum that is read elsewhere, too", { x: real(N, 6), b: real(6) }, ({ x, b }) => {
      const y = add(x, b);
      return [geluTanh(y), y];
    }),
    opCase("of a sum of rows", { x: real(N, 6), y: real(N, 6) }, ({ x, y }) => [geluTanh(add(x, y))]),
    opCase("of a sum with one number", { x: real(N, 6), y: real(1) }, ({ x, y }) => [geluTanh(add(x, y))]),
  ],
  gelu: unary(gelu, real, wide),
  cast: [
    opCase("whole numbers to floats", { x: real(N, 3), i: integers([3], 9) }, ({ x, i }) => [
      mul(x, cast(i, "float32")),
    ]),
    opCase("conditions to floats", { x: real(N, 3), b: booleans(3) }, ({ x, b }) => [mul(x, cast(b, "float32"))]),
    opCase("floats to conditions", { x: integers([N, 9], 2) }, ({ x }) => [cast(cast(x, "float32"), "bool")], {
      forwardOnly: "a condition has no gradient",
    }),
    opCase("through doubles", { x: real(N, 3) }, ({ x }) => [
      cast(mul(cast(x, "float64"), cast(x, "float64")), "float32"),
    ]),
    opCase("through whole numbers, which cut towards zero and stop gradients", { x: distinct([9], 0.125) }, ({ x }) => [
      add(cast(cast(x, "int32"), "float32"), mul(x, x)),
    ]),
  ],
  add: [...binary(add), wholeNumbers(add)],
  sub: [...binary(sub), wholeNumbers(sub)],
  mul: [...binary(mul), wholeNumbers(mul)],
  div: binary(div, real, nonzero),
  maximum: [...binary(maximum, aligned, offset), wholeNumbers(maximum)],
  minimum: [...binary(minimum, aligned, offset), wholeNumbers(minimum)],
  less: { ...steps, cases: [...binary(less), wholeNumbers(less)] },
  equal: {
    ...steps,
    cases: [...binary(equal, (...shape) => ({ ...integers(shape, 3), dtype: "float32" })), wholeNumbers(equal)],
  },
  where: [
    opCase("of equal shapes", { c: booleans(N, 4), a: real(N, 4), b: real(N, 4) }, (x) => [where(x.c, x.a, x.b)]),
    opCase("of three that broadcast", { c: booleans(3, 1), a: real(4), b: real(N, 3, 4) }, (x) => [
      where(x.c, x.a, x.b),
    ]),
    opCase("of a large condition", { c: booleans(N, 3, 4), a: real(3, 1), b: real() }, (x) => [where(x.c, x.a, x.b)]),
    opCase("of numbers", { c: booleans(N, 3), a: real(3) }, (x) => [where(x.c, x.a, 7), where(x.c, -1, x.a)]),
  ],
} satisfies Partial<CaseTable<Op>>;
