/** How ONNX Runtime's CPU provider computes each operation fastest, as far as measured (see bench/). */
import { float32, NDArray as Values, zeros } from "../../array/ndarray.ts";
import { type Dim, sameShape } from "../../graph/dim.ts";
import type { Op, OpAttributes } from "../../graph/op.ts";
import type { Node, Tensor } from "../../graph/tensor.ts";
import { bernoulli } from "./bernoulli-lowering.ts";
import type { Emitter } from "./emitter.ts";
import { fourAtATime } from "./four-at-a-time.ts";
import type { Lowering, LoweringRule } from "./lowering.ts";
import { typeCodes } from "./model.ts";
import { quantizedLowering } from "./quantized-lowering.ts";

/** An operator that takes the same operands and no attributes. */
const plain =
  <K extends Op>(opType: string): LoweringRule<K> =>
  (e, operands) =>
    e.node(opType, operands);

const contrib =
  <K extends Op>(opType: string, attributes: Parameters<Emitter["contrib"]>[2] = {}): LoweringRule<K> =>
  (e, operands) =>
    e.contrib(opType, operands, attributes);

/**
 * A bias gradient sums all leading axes: as a product with a row of ones it streams through memory, while ReduceSum
 * walks columns, which is slower, most of all on two threads.
 */
const sum: LoweringRule<"sum"> = (e, operands, attributes, node, nameOf) => {
  const { axes } = attributes;
  const [x] = node.inputs;
  const leading = x!.shape.slice(0, -1);
  const isBias = axes.length === leading.length && axes.every((axis, i) => axis === i) && x!.dtype === "float32";
  const rows = leading.reduce<number>((product, dim) => (typeof dim === "number" ? product * dim : Number.NaN), 1);
  if (!isBias || leading.length === 0 || Number.isNaN(rows)) {
    return reduce<"sum">("ReduceSum")(e, operands, attributes, node, nameOf);
  }
  const ones = e.constant(float32(new Float32Array(rows).fill(1), [1, rows]));
  return e.reshape(e.node("MatMul", [ones, e.matrix(operands[0]!, x!)]), outShape(node));
};

const reduce =
  <K extends "sum" | "max">(opType: string): LoweringRule<K> =>
  (e, [x], { axes, keepDims }) =>
    e.node(opType, [x!, e.int64(axes)], { keepdims: Number(keepDims) });

/** FastGelu adds a bias [D] of its own to x [..., D], in the same pass, and wants at least one axis. */
const geluTanh: LoweringRule<"geluTanh"> = (e, [x], _, node, nameOf) => {
  if (outShape(node).length === 0) return e.reshape(e.contrib("FastGelu", [e.reshape(x!, [1])]), []);
  const sum = node.inputs[0]!.node;
  const [y, bias] = sum.inputs as readonly [Tensor, Tensor];
  const isBias = sum.op === "add" && sameShape(y.shape, outShape(node)) && sameShape(bias.shape, y.shape.slice(-1));
  return e.contrib("FastGelu", isBias && y.shape.length > 1 ? [nameOf(y), nameOf(bias)] : [x!]);
};

const bit = Number;
const outShape = (node: Node): readonly Dim[] => node.outputs[0]!.shape;

/** Products with one shared matrix are one Gemm over all rows; batched ones use transpose flags, never a Transpose. */
const matmul: LoweringRule<"matmul"> = (e, [a, b], { transposeA, transposeB, scale }, node) => {
  const [x, y] = node.inputs;
  if (y!.shape.length > 2) {
    return e.contrib("FusedMatMul", [a!, b!], {
      transA: bit(transposeA),
      transB: bit(transposeB),
      alpha: { float: scale },
    });
  }
  const product = e.node("Gemm", [e.matrix(a!, x!), b!], {
    transA: bit(transposeA),
    transB: bit(transposeB),
    alpha: { float: scale },
  });
  return x!.shape.length === 2 ? product : e.reshape(product, outShape(node));
};

const linear: LoweringRule<"linear"> = (e, [x, weight, addend], { scale }, node) => {
  const [tensor, , addendTensor] = node.inputs;
  const c = addend && addendTensor!.shape.length > 1 ? e.matrix(addend, addendTensor!) : addend;
  const operands = [e.matrix(x!, tensor!), weight!, ...(c ? [c] : [])];
  const y = e.node("Gemm", operands, { transB: 1, alpha: { float: scale } });
  return tensor!.shape.length === 2 ? y : e.reshape(y, outShape(node));
};

const linearWeightGradient: LoweringRule<"linearWeightGradient"> = (e, [dy, x], { scale }, node) => {
  const [dyTensor, xTensor] = node.inputs;
  return e.node("Gemm", [e.matrix(dy!, dyTensor!), e.matrix(x!, xTensor!)], { transA: 1, alpha: { float: scale } });
};

const layerNorm: LoweringRule<"layerNorm"> = (e, [x], { epsilon }, node) => {
  const size = node.inputs[0]!.shape.at(-1) as number;
  const ones = e.constant(float32(new Float32Array(size).fill(1)));
  const attributes = { axis: -1, epsilon: { float: epsilon } };
  const [y, , invStd] = e.emit("LayerNormalization", [x!, ones], { outputs: 3, attributes });
  return [y!, invStd!];
};

const square = (value: number, count: number): number[] => new Array<number>(count).fill(value);
/** ONNX lists all padding that comes first, then all that comes last. */
const padsOf = ([rows, columns]: readonly [number, number]): number[] => [rows, columns, rows, columns];
const convAttributes = ({ stride, padding }: OpAttributes["conv2d"]) => ({
  strides: square(stride, 2),
  pads: padsOf(padding),
});

const conv2dInputGradient: LoweringRule<"conv2dInputGradient"> = (e, [dy, weight], attributes, node) => {
  const { stride, padding, inputSize } = attributes;
  const [, , oh, ow] = node.inputs[0]!.shape as readonly number[];
  const [, , kh, kw] = node.inputs[1]!.shape as readonly number[];
  const missing = [
    inputSize[0] - ((oh! - 1) * stride + kh! - 2 * padding[0]),
    inputSize[1] - ((ow! - 1) * stride + kw! - 2 * padding[1]),
  ];
  return e.node("ConvTranspose", [dy!, weight!], { ...convAttributes(attributes), output_padding: missing });
};

/**
 * Images as channels and channels as images: then the weight gradient is a convolution with dy, dilated by the stride.
 * A batch that may be empty gets one image of zeros, because Conv never returns when it has no channels.
 */
const conv2dWeightGradient: LoweringRule<"conv2dWeightGradient"> = (e, [dy, x], attributes, node) => {
  const { stride, padding, kernelSize } = attributes;
  const fixedBatch = typeof node.inputs[1]!.shape[0] === "number";
  const some = (name: string) =>
    fixedBatch ? name : e.node("Pad", [name, e.int64([0, 1]), e.constant(zeros("float32", [])), e.int64([0])]);
  const swap = (name: string) => e.node("Transpose", [name], { perm: [1, 0, 2, 3] });
  const full = e.node("Conv", [swap(some(x!)), swap(some(dy!))], {
    dilations: square(stride, 2),
    pads: padsOf(padding),
  });
  return swap(e.node("Slice", [full, e.int64([0, 0]), e.int64(kernelSize), e.int64([2, 3])]));
};

const pool =
  <K extends "maxPool2d" | "averagePool2d">(opType: string): LoweringRule<K> =>
  (e, [x], { kernel, stride, padding }: OpAttributes["maxPool2d"]) =>
    e.node(opType, [x!], {
      strides: square(stride, 2),
      pads: square(padding, 4),
      kernel_shape: square(kernel, 2),
    });

/**
 * A product with a one-hot matrix [rows, M]. ScatterND with reduction "add" splits its work over threads without
 * guarding rows that occur twice: with two threads it loses updates.
 */
const scatterAdd: LoweringRule<"scatterAdd"> = (e, [index, updates], { rows }, node) => {
  const [indexTensor, updatesTensor] = node.inputs as [Tensor, Tensor];
  const flat = e.node("Reshape", [index!, e.int64([1, -1])], { allowzero: 0 });
  const limit = e.node("Cast", [e.node("Squeeze", [e.shape([rows])])], { to: typeCodes.int32 });
  const [zero, one] = [0, 1].map((n) => e.constant(new Values("int32", [], Int32Array.of(n)))) as [string, string];
  const numbers = e.node("Unsqueeze", [e.node("Range", [zero, limit, one]), e.int64([1])]);
  const oneHot = e.node("Cast", [e.node("Equal", [numbers, flat])], { to: typeCodes[updatesTensor.dtype] });
  const matrix = e.node("Flatten", [updates!], { axis: indexTensor.shape.length });
  return e.reshape(e.node("MatMul", [oneHot, matrix]), outShape(node));
};

/** A shape that is computed only after y and equals that of x. */
function shapeAfter(e: Emitter, x: string, y: string): string {
  const nothing = e.node("Slice", [e.node("Shape", [y]), e.int64([0]), e.int64([0])]);
  return e.node("Concat", [nothing, e.node("Shape", [x])], { axis: 0 });
}

function filled(e: Emitter, { value, dtype, shape }: OpAttributes["fill"]): string {
  const number = e.constant(float32([value], shape.length === 0 ? [] : [1]));
  const scalar = dtype === "float32" ? number : e.node("Cast", [number], { to: typeCodes[dtype] });
  return shape.length === 0 ? scalar : e.node("Expand", [scalar, e.shape(shape)]);
}

/** The lowering table of the CPU provider. */
export const cpuLowering: Lowering = {
  expands: ["attention"],
  rules: {
    constant: (e, _, { value }) => e.constant(value),
    fill: (e, _, attributes) => filled(e, attributes),
    neg: plain("Neg"),
    exp: plain("Exp"),
    log: fourAtATime("Log"),
    sqrt: plain("Sqrt"),
    abs: plain("Abs"),
    cos: fourAtATime("Cos"),
    sin: fourAtATime("Sin"),
    tanh: plain("Tanh"),
    sigmoid: plain("Sigmoid"),
    erf: plain("Erf"),
    relu: plain("Relu"),
    silu: contrib("QuickGelu", { alpha: { float: 1 } }),
    geluTanh,
    gelu: contrib("Gelu"),
    cast: (e, [x], { to }) => e.node("Cast", [x!], { to: typeCodes[to] }),
    add: plain("Add"),
    sub: plain("Sub"),
    mul: plain("Mul"),
    div: plain("Div"),
    maximum: plain("Max"),
    minimum: plain("Min"),
    less: plain("Less"),
    equal: plain("Equal"),
    where: plain("Where"),
    sum,
    max: reduce("ReduceMax"),
    reshape: (e, [x], { shape }) => e.reshape(x!, shape),
    transpose: (e, [x], { permutation }) => e.node("Transpose", [x!], { perm: permutation }),
    broadcast: (e, [x], { shape }) => e.node("Expand", [x!, e.shape(shape)]),
    concat: (e, operands, { axis }) => e.node("Concat", operands, { axis }),
    split: (e, [x], { axis, parts }) =>
      e.emit("Split", [x!], { outputs: parts, attributes: { axis, num_outputs: parts } }),
    slice: (e, [x], { axis, start, end }) => e.node("Slice", [x!, e.int64([start]), e.int64([end]), e.int64([axis])]),
    pad: (e, [x], { axis, before, after }, node) => {
      const zero = e.constant(zeros(node.outputs[0]!.dtype, []));
      return e.node("Pad", [x!, e.int64([before, after]), zero, e.int64([axis])]);
    },
    matmul,
    linear,
    linearWeightGradient,
    ...quantizedLowering,
    attention: () => {
      throw new Error("attention is expanded before lowering");
    },
    softmax: (e, [x]) => e.node("Softmax", [x!], { axis: -1 }),
    layerNorm,
    conv2d: (e, operands, attributes) => e.node("Conv", operands, convAttributes(attributes)),
    conv2dInputGradient,
    conv2dWeightGradient,
    maxPool2d: pool("MaxPool"),
    averagePool2d: pool("AveragePool"),
    gather: (e, [x, index]) => e.node("Gather", [x!, index!], { axis: 0 }),
    scatterAdd,
    partitionRows: (e, [x, kept, dropped]) => [
      e.node("Gather", [x!, kept!], { axis: 0 }),
      e.node("Gather", [x!, dropped!], { axis: 0 }),
    ],
    mergeRows: (e, [a, b, , , inverse]) =>
      e.node("Gather", [e.node("Concat", [a!, b!], { axis: 0 }), inverse!], { axis: 0 }),
    bernoulli,
    stopGradient: (_, [x]) => x!,
    controlDependency: (e, [x, y]) => e.node("Reshape", [x!, shapeAfter(e, x!, y!)], { allowzero: 1 }),
  },
};
