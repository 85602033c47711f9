/** Cases of products, normalisation and image operations. */
import {
  attention,
  averagePool2d,
  conv2d,
  layerNorm,
  layerNormWithStd,
  linear,
  linearWeightGradient,
  matmul,
  maxPool2d,
  mul,
  quantizedLinear,
  quantizeRows,
  quantizeWeight,
  softmax,
} from "../../../src/graph/build.ts";
import type { Dim } from "../../../src/graph/dim.ts";
import type { Op } from "../../../src/graph/op.ts";
import { apply, type Tensor } from "../../../src/graph/tensor.ts";
import { distinct, type Leaf, N, real, weight, wide } from "./leaf.ts";
import { type CaseTable, type OpCase, opCase } from "./op-case.ts";

const flags = [
  { transposeA: false, transposeB: false },
  { transposeA: true, transposeB: false },
  { transposeA: false, transposeB: true },
  { transposeA: true, transposeB: true },
] as const;

/** a [.., 2, 3] times b [.., 3, 4], stored transposed where the flags say so. */
const matmulCases = (title: string, leading: readonly Dim[]): readonly OpCase[] =>
  flags.map((flag) => {
    const a = real(...leading, ...(flag.transposeA ? [3, 2] : [2, 3]));
    const b = real(...leading, ...(flag.transposeB ? [4, 3] : [3, 4]));
    const name = `${title}${flag.transposeA ? ", Aᵀ" : ""}${flag.transposeB ? ", Bᵀ" : ""}`;
    return opCase(name, { a, b }, (x) => [matmul(x.a, x.b, { ...flag, scale: 0.75 })]);
  });

const sharedMatrix = [false, true].flatMap((transposeB) => {
  const b = transposeB ? weight(4, 3) : weight(3, 4);
  const name = `by one matrix${transposeB ? ", Bᵀ" : ""}`;
  return [
    opCase(`of a batch ${name}`, { a: real(N, 2, 3), b }, (x) => [matmul(x.a, x.b, { transposeB, scale: 0.75 })]),
    opCase(`of heads ${name}`, { a: real(N, 2, 2, 3), b }, (x) => [matmul(x.a, x.b, { transposeB })]),
  ];
});

interface Window {
  readonly kernel: number;
  readonly stride: number;
  readonly padding: number;
}

/** Images of 6 × 8 under windows that tile, overlap, leave a rest and reach over the edge. */
const poolCases = (op: (x: Tensor, window: Window) => Tensor, draw: (...shape: Dim[]) => Leaf): readonly OpCase[] => {
  const tiling: readonly Window[] = [
    { kernel: 2, stride: 2, padding: 0 },
    { kernel: 1, stride: 1, padding: 0 },
  ];
  const others: readonly Window[] = [
    { kernel: 3, stride: 1, padding: 1 },
    { kernel: 3, stride: 2, padding: 0 },
    { kernel: 3, stride: 2, padding: 1 },
  ];
  const one = (window: Window, options = {}): OpCase => {
    const title = `with kernel ${window.kernel}, stride ${window.stride}, padding ${window.padding}`;
    return opCase(title, { x: draw(N, 2, 6, 8) }, ({ x }) => [op(x, window)], options);
  };
  const forwardOnly = "the gradient is refused where windows do not tile the image";
  return [...tiling.map((window) => one(window)), ...others.map((window) => one(window, { forwardOnly }))];
};

const convolutions = [
  { kernel: [1, 1], stride: 1, padding: [0, 0] },
  { kernel: [3, 3], stride: 1, padding: [1, 1] },
  { kernel: [3, 2], stride: 2, padding: [0, 0] },
  { kernel: [3, 3], stride: 2, padding: [1, 1] },
  { kernel: [2, 2], stride: 2, padding: [0, 0] },
  { kernel: [1, 5], stride: 1, padding: [0, 2] },
  { kernel: [3, 1], stride: 1, padding: [1, 0] },
  { kernel: [3, 4], stride: 2, padding: [2, 1] },
] as const;

const convTitle = ({ kernel, stride, padding }: (typeof convolutions)[number]): string =>
  `with kernel ${kernel.join("×")}, stride ${stride}, padding ${padding.join(", ")}`;

/** The size of a convolution of a 5 × 6 image. */
const convSize = ({ kernel, stride, padding }: (typeof convolutions)[number]): [number, number] => [
  Math.floor((5 + 2 * padding[0] - kernel[0]) / stride) + 1,
  Math.floor((6 + 2 * padding[1] - kernel[1]) / stride) + 1,
];

const whole = { noGradient: "whole numbers have no gradient; it is refused (precision.test.ts)" };

const second = { noGradient: "a gradient itself; second derivatives are refused (gradient-flow.test.ts)" };

export const layerCases = {
  matmul: [
    ...matmulCases("of matrices", []),
    ...matmulCases("of batches", [N]),
    ...matmulCases("of heads", [N, 2]),
    ...sharedMatrix,
  ],
  linear: [
    opCase("without addend", { x: real(N, 3), w: weight(4, 3) }, ({ x, w }) => [linear(x, w)]),
    opCase("with a bias", { x: real(N, 3), w: weight(4, 3), b: weight(4) }, ({ x, w, b }) => [linear(x, w, b)]),
    opCase("of tokens with a bias and a scale", { x: real(N, 2, 3), w: weight(4, 3), b: weight(4) }, ({ x, w, b }) => [
      linear(x, w, b, 0.5),
    ]),
    opCase(
      "with a whole addend and a scale",
      { x: real(N, 2, 3), w: weight(4, 3), b: real(N, 2, 4) },
      ({ x, w, b }) => [linear(x, w, b, -2)],
    ),
    opCase("with an addend for each row", { x: real(N, 3), w: weight(4, 3), b: real(N, 4) }, ({ x, w, b }) => [
      linear(x, w, b, -2),
    ]),
    opCase("of one vector", { x: real(3), w: weight(4, 3), b: weight(4) }, ({ x, w, b }) => [linear(x, w, b)]),
  ],
  linearWeightGradient: [
    opCase("of rows", { y: real(N, 4), x: real(N, 3) }, ({ y, x }) => [linearWeightGradient(y, x, 0.5)]),
    opCase("of tokens", { y: real(N, 2, 4), x: real(N, 2, 3) }, ({ y, x }) => [linearWeightGradient(y, x, 1)]),
  ],
  quantizeRows: {
    ...whole,
    cases: [
      opCase("of tokens", { x: real(N, 2, 5) }, ({ x }) => quantizeRows(x)),
      opCase("of one vector", { x: real(5) }, ({ x }) => quantizeRows(x)),
      opCase("of zeros", { x: real(N, 5) }, ({ x }) => quantizeRows(mul(x, 0))),
    ],
  },
  quantizeWeight: {
    ...whole,
    cases: [opCase("of a layer", { w: weight(4, 3) }, ({ w }) => quantizeWeight(w))],
  },
  quantizedLinear: {
    ...whole,
    cases: [
      opCase("of rows", { x: real(N, 3), w: weight(4, 3) }, ({ x, w }) => [
        quantizedLinear(quantizeRows(x), quantizeWeight(w)),
      ]),
      opCase("of tokens with a scale", { x: real(N, 2, 37), w: weight(19, 37) }, ({ x, w }) => [
        quantizedLinear(quantizeRows(x), quantizeWeight(w), 0.5),
      ]),
      opCase("of one vector", { x: real(3), w: weight(4, 3) }, ({ x, w }) => [
        quantizedLinear(quantizeRows(x), quantizeWeight(w)),
      ]),
    ],
  },
  attention: [
    opCase("of heads", { q: real(N, 2, 3, 4), k: real(N, 2, 3, 4), v: real(N, 2, 3, 4) }, ({ q, k, v }) => [
      attention(q, k, v, 0.5),
    ]),
    opCase("of a tensor with itself", { x: real(N, 1, 4, 2) }, ({ x }) => [attention(x, x, x, 1)]),
  ],
  softmax: [
    opCase("of rows", { x: real(N, 2, 5) }, ({ x }) => [softmax(x)]),
    opCase("of rows far apart", { x: wide(4, 6) }, ({ x }) => [softmax(x)]),
    opCase("of one row", { x: real(5) }, ({ x }) => [softmax(x)]),
  ],
  layerNorm: [
    opCase("of tokens", { x: real(N, 2, 6) }, ({ x }) => [layerNorm(x, 1e-6)]),
    opCase("of one row, with a large epsilon", { x: real(5) }, ({ x }) => [layerNorm(x, 0.3)]),
    opCase("with its 1/std", { x: real(N, 6) }, ({ x }) => [...layerNormWithStd(x, 1e-3)]),
    opCase("of which only 1/std is used", { x: real(N, 6) }, ({ x }) => [layerNormWithStd(x, 1e-3)[1]]),
  ],
  conv2d: convolutions.flatMap((c) => {
    const leaves = { x: real(N, 2, 5, 6), w: weight(3, 2, ...c.kernel) };
    return [
      opCase(convTitle(c), leaves, ({ x, w }) => [conv2d(x, w, undefined, c.stride, c.padding)]),
      opCase(`${convTitle(c)} and a bias`, { ...leaves, b: weight(3) }, ({ x, w, b }) => [
        conv2d(x, w, b, c.stride, c.padding),
      ]),
    ];
  }),
  conv2dInputGradient: {
    ...second,
    cases: convolutions.map((c) =>
      opCase(convTitle(c), { dy: real(N, 3, ...convSize(c)), w: weight(3, 2, ...c.kernel) }, ({ dy, w }) => {
        const { stride, padding } = c;
        return apply("conv2dInputGradient", [dy, w], { stride, padding, inputSize: [5, 6] }).outputs;
      }),
    ),
  },
  conv2dWeightGradient: {
    ...second,
    cases: convolutions.map((c) =>
      opCase(convTitle(c), { dy: real(N, 3, ...convSize(c)), x: real(N, 2, 5, 6) }, ({ dy, x }) => {
        const { stride, padding, kernel } = c;
        return apply("conv2dWeightGradient", [dy, x], { stride, padding, kernelSize: kernel }).outputs;
      }),
    ),
  },
  maxPool2d: poolCases(
    (x, w) => maxPool2d(x, w.kernel, w.stride, w.padding),
    (...shape) => distinct(shape),
  ),
  averagePool2d: poolCases((x, w) => averagePool2d(x, w.kernel, w.stride, w.padding), real),
} satisfies Partial<CaseTable<Op>>;
