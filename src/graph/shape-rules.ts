/** The shape rule of every operation: output types, or a sentence that says what was expected. */
import type { NDArray } from "../array/ndarray.ts";
import { broadcastShapes, type Dim, printShape, type Shape, sameDim, sameElementCount, sameShape } from "./dim.ts";
import { type GraphDType, isFloating, type Op, type OpAttributes, type TensorType } from "./op.ts";

type Result = readonly TensorType[] | string;
type ShapeRule<K extends Op> = (inputs: readonly TensorType[], attributes: OpAttributes[K]) => Result;

const isFloat = (x: TensorType) => isFloating(x.dtype);

const one = (dtype: GraphDType, shape: Shape): Result => [{ dtype, shape }];

const elementwise = ([x]: readonly TensorType[]): Result =>
  x && isFloat(x) ? one(x.dtype, x.shape) : "expects one operand of floating-point numbers";

const sameAsFirst = ([x]: readonly TensorType[]): Result => (x ? one(x.dtype, x.shape) : "expects an operand");

function broadcasting(inputs: readonly TensorType[], dtype?: GraphDType): Result {
  const [a, b] = inputs;
  if (!a || !b || a.dtype !== b.dtype) return "expects two operands of one type";
  const shape = broadcastShapes(a.shape, b.shape);
  return shape ? one(dtype ?? a.dtype, shape) : "expects shapes that broadcast";
}

const arithmetic = (inputs: readonly TensorType[]): Result => broadcasting(inputs);
const comparison = (inputs: readonly TensorType[]): Result => broadcasting(inputs, "bool");

function reduction([x]: readonly TensorType[], { axes, keepDims }: OpAttributes["sum"]): Result {
  if (!x || axes.some((axis) => axis < 0 || axis >= x.shape.length)) return `expects axes [${axes}] within the operand`;
  const shape = keepDims
    ? x.shape.map((dim, i) => (axes.includes(i) ? 1 : dim))
    : x.shape.filter((_, i) => !axes.includes(i));
  return one(x.dtype, shape);
}

/** Replaces one axis. */
function withAxis(x: TensorType, axis: number, dim: Dim): Result {
  return one(
    x.dtype,
    x.shape.map((old, i) => (i === axis ? dim : old)),
  );
}

function matmul([a, b]: readonly TensorType[], { transposeA, transposeB }: OpAttributes["matmul"]): Result {
  if (!a || !b || a.dtype !== b.dtype || a.shape.length < 2 || b.shape.length < 2) return "expects two matrices";
  const [m, k] = lastTwo(a, transposeA);
  const [k2, n] = lastTwo(b, transposeB);
  const shared = b.shape.length === 2 && !transposeA;
  if (!sameDim(k, k2)) return "expects inner sizes that agree";
  if (!shared && !sameShape(a.shape.slice(0, -2), b.shape.slice(0, -2))) return "expects the same leading axes";
  return one(a.dtype, [...a.shape.slice(0, -2), m, n]);
}

function lastTwo(x: TensorType, transposed: boolean): [Dim, Dim] {
  const [m, n] = [x.shape.at(-2)!, x.shape.at(-1)!];
  return transposed ? [n, m] : [m, n];
}

function linear([x, weight, addend]: readonly TensorType[]): Result {
  if (!x || !weight || weight.shape.length !== 2 || x.dtype !== weight.dtype)
    return "expects x [..., I], weight [O, I]";
  const [out, inner] = weight.shape as [Dim, Dim];
  if (!sameDim(x.shape.at(-1)!, inner)) return `expects weight [O, ${printShape(x.shape.slice(-1)).slice(1, -1)}]`;
  const shape = [...x.shape.slice(0, -1), out];
  const fits = !addend || sameShape(addend.shape, [out]) || sameShape(addend.shape, shape);
  return fits ? one(x.dtype, shape) : `expects an addend ${printShape([out])} or ${printShape(shape)}`;
}

function linearWeightGradient([dy, x]: readonly TensorType[]): Result {
  if (!dy || !x || !sameShape(dy.shape.slice(0, -1), x.shape.slice(0, -1))) return "expects the same leading axes";
  return one(x.dtype, [dy.shape.at(-1)!, x.shape.at(-1)!]);
}

function quantizeRows([x]: readonly TensorType[]): Result {
  if (x?.dtype !== "float32" || x.shape.length === 0) return "expects float32 rows x [..., I]";
  return [
    { dtype: "uint8", shape: x.shape },
    { dtype: "float32", shape: [...x.shape.slice(0, -1), 1] },
  ];
}

function quantizeWeight([w]: readonly TensorType[]): Result {
  if (w?.dtype !== "float32" || w.shape.length !== 2) return "expects a float32 weight [O, I]";
  return [
    { dtype: "int8", shape: [w.shape[1]!, w.shape[0]!] },
    { dtype: "float32", shape: w.shape.slice(0, 1) },
  ];
}

function quantizedLinear([x, rowRange, weight, range]: readonly TensorType[]): Result {
  if (x?.dtype !== "uint8" || weight?.dtype !== "int8" || weight.shape.length !== 2)
    return "expects x uint8 [..., I], its ranges, weight int8 [I, O], its ranges";
  const [inner, out] = weight.shape as [Dim, Dim];
  const rows = x.shape.slice(0, -1);
  if (!sameDim(x.shape.at(-1)!, inner)) return "expects inner sizes that agree";
  if (!rowRange || !sameShape(rowRange.shape, [...rows, 1])) return `expects ranges ${printShape([...rows, 1])} of x`;
  if (!range || !sameShape(range.shape, [out])) return `expects ranges ${printShape([out])} of the weight`;
  return one("float32", [...rows, out]);
}

function attention([q, k, v]: readonly TensorType[]): Result {
  const fits = q && k && v && q.shape.length === 4 && sameShape(q.shape, k.shape) && sameShape(q.shape, v.shape);
  return fits ? one(q.dtype, q.shape) : "expects q, k, v of one shape [N, H, T, D]";
}

const pooledSize = (size: Dim, kernel: number, stride: number, padding: number): Dim | undefined =>
  typeof size === "number" ? Math.floor((size + 2 * padding - kernel) / stride) + 1 : undefined;

function conv2d([x, weight, bias]: readonly TensorType[], { stride, padding }: OpAttributes["conv2d"]): Result {
  if (x?.shape.length !== 4 || weight?.shape.length !== 4) return "expects x [N, C, H, W], weight [O, C, kH, kW]";
  const [n, c, h, w] = x.shape as [Dim, Dim, Dim, Dim];
  const [o, c2, kh, kw] = weight.shape as [Dim, Dim, number, number];
  if (!sameDim(c, c2)) return "expects the weight's second axis to be the image's channels";
  if (bias && !sameShape(bias.shape, [o])) return `expects a bias ${printShape([o])}`;
  const [outH, outW] = [pooledSize(h, kh, stride, padding[0]), pooledSize(w, kw, stride, padding[1])];
  return outH === undefined || outW === undefined ? "expects fixed H, W" : one(x.dtype, [n, o, outH, outW]);
}

function pool2d([x]: readonly TensorType[], { kernel, stride, padding }: OpAttributes["maxPool2d"]): Result {
  if (x?.shape.length !== 4) return "expects x [N, C, H, W]";
  const [n, c, h, w] = x.shape as [Dim, Dim, Dim, Dim];
  const [outH, outW] = [pooledSize(h, kernel, stride, padding), pooledSize(w, kernel, stride, padding)];
  return outH === undefined || outW === undefined ? "expects fixed H, W" : one(x.dtype, [n, c, outH, outW]);
}

function concat(inputs: readonly TensorType[], { axis }: OpAttributes["concat"]): Result {
  const first = inputs[0];
  if (!first) return "expects an operand";
  const others = (x: TensorType) => x.shape.filter((_, i) => i !== axis);
  if (inputs.some((x) => x.dtype !== first.dtype || !sameShape(others(x), others(first)))) {
    return `expects operands that differ in axis ${axis} only`;
  }
  let total = 0;
  for (const x of inputs) {
    const dim = x.shape[axis];
    if (typeof dim !== "number") return `expects fixed sizes along axis ${axis}`;
    total += dim;
  }
  return withAxis(first, axis, total);
}

function split([x]: readonly TensorType[], { axis, parts }: OpAttributes["split"]): Result {
  const dim = x?.shape[axis];
  if (!x || typeof dim !== "number" || dim % parts !== 0) return `expects axis ${axis} to divide into ${parts} parts`;
  const shape = x.shape.map((old, i) => (i === axis ? dim / parts : old));
  return Array.from({ length: parts }, () => ({ dtype: x.dtype, shape }));
}

function slice([x]: readonly TensorType[], { axis, start, end }: OpAttributes["slice"]): Result {
  const dim = x?.shape[axis];
  if (!x || typeof dim !== "number" || start < 0 || end > dim || start > end) {
    return `expects [${start}, ${end}) within axis ${axis}`;
  }
  return withAxis(x, axis, end - start);
}

function gather([x, index]: readonly TensorType[]): Result {
  if (!x || index?.dtype !== "int32") return "expects x and an int32 index";
  return one(x.dtype, [...index.shape, ...x.shape.slice(1)]);
}

function partitionRows([x, kept, dropped, inverse]: readonly TensorType[]): Result {
  if (!x || !inverse || kept?.shape.length !== 1 || dropped?.shape.length !== 1) return "expects x and row numbers";
  const rows = (index: TensorType): TensorType => ({ dtype: x.dtype, shape: [index.shape[0]!, ...x.shape.slice(1)] });
  return [rows(kept), rows(dropped)];
}

function mergeRows([a, b, kept, dropped, inverse]: readonly TensorType[]): Result {
  if (!a || !b || !kept || !dropped || inverse?.shape.length !== 1) return "expects two tensors and row numbers";
  if (!sameShape(a.shape.slice(1), b.shape.slice(1))) return "expects tensors that differ in rows only";
  return one(a.dtype, [inverse.shape[0]!, ...a.shape.slice(1)]);
}

function where([condition, x, y]: readonly TensorType[]): Result {
  if (condition?.dtype !== "bool" || !x || !y || x.dtype !== y.dtype) return "expects a condition and two values";
  const shape = broadcastShapes(x.shape, y.shape);
  const whole = shape && broadcastShapes(shape, condition.shape);
  return whole ? one(x.dtype, whole) : "expects shapes that broadcast";
}

function bernoulli([key]: readonly TensorType[], { probability, stream, shape }: OpAttributes["bernoulli"]): Result {
  if (key?.dtype !== "int32" || key.shape.length !== 2 || key.shape[1] !== 2) return "expects an int32 key [N, 2]";
  if (shape.length === 0 || !sameDim(shape[0]!, key.shape[0]!))
    return `expects a key for each row of ${printShape(shape)}`;
  if (!(probability >= 0 && probability <= 1 && Number.isInteger(probability * 2 ** 16)))
    return `expects a probability in [0, 1] that is a multiple of 2^-16, not ${probability}`;
  return stream === stream >>> 0 ? one("float32", shape) : `expects a stream of 32 bits, not ${stream}`;
}

const graphDType = (value: NDArray): GraphDType => value.dtype as GraphDType;

/** The shape rules, one for each operation. */
export const shapeRules: { readonly [K in Op]: ShapeRule<K> } = {
  input: (_, { dtype, shape }) => one(dtype, shape),
  parameter: (_, { dtype, shape }) => one(dtype, shape),
  constant: (_, { value }) => one(graphDType(value), value.shape),
  fill: (_, { dtype, shape }) => one(dtype, shape),
  neg: elementwise,
  exp: elementwise,
  log: elementwise,
  sqrt: elementwise,
  abs: elementwise,
  cos: elementwise,
  sin: elementwise,
  tanh: elementwise,
  sigmoid: elementwise,
  erf: elementwise,
  relu: elementwise,
  silu: elementwise,
  geluTanh: elementwise,
  gelu: elementwise,
  cast: ([x], { to }) => (x ? one(to, x.shape) : "expects an operand"),
  add: arithmetic,
  sub: arithmetic,
  mul: arithmetic,
  div: arithmetic,
  maximum: arithmetic,
  minimum: arithmetic,
  less: comparison,
  equal: comparison,
  where,
  sum: reduction,
  max: reduction,
  reshape: ([x], { shape }) =>
    x && sameElementCount(x.shape, shape)
      ? one(x.dtype, shape)
      : `expects as many elements as ${printShape(shape)} holds`,
  transpose: ([x], { permutation }) =>
    x && permutation.length === x.shape.length && x.shape.every((_, axis) => permutation.includes(axis))
      ? one(
          x.dtype,
          permutation.map((axis) => x.shape[axis]!),
        )
      : `expects [${permutation}] to order the axes`,
  broadcast: ([x], { shape }) => {
    const result = x && broadcastShapes(x.shape, shape);
    return x && result && sameShape(result, shape) ? one(x.dtype, shape) : `does not broadcast to ${printShape(shape)}`;
  },
  concat,
  split,
  slice,
  pad: ([x], { axis, before, after }) => {
    const dim = x?.shape[axis];
    return x && typeof dim === "number" ? withAxis(x, axis, dim + before + after) : "expects a fixed axis";
  },
  matmul,
  linear,
  linearWeightGradient,
  quantizeRows,
  quantizeWeight,
  quantizedLinear,
  attention,
  softmax: elementwise,
  layerNorm: ([x]) =>
    x && isFloat(x)
      ? [
          { dtype: x.dtype, shape: x.shape },
          { dtype: x.dtype, shape: [...x.shape.slice(0, -1), 1] },
        ]
      : "expects floating-point numbers",
  conv2d,
  conv2dInputGradient: ([dy, weight], { inputSize }) =>
    dy && weight ? one(dy.dtype, [dy.shape[0]!, weight.shape[1]!, ...inputSize]) : "expects dy and weight",
  conv2dWeightGradient: ([dy, x], { kernelSize }) =>
    dy && x ? one(dy.dtype, [dy.shape[1]!, x.shape[1]!, ...kernelSize]) : "expects dy and x",
  maxPool2d: pool2d,
  averagePool2d: pool2d,
  gather,
  scatterAdd: ([index, updates], { rows }) =>
    index && updates
      ? one(updates.dtype, [rows, ...updates.shape.slice(index.shape.length)])
      : "expects index, updates",
  partitionRows,
  mergeRows,
  bernoulli,
  stopGradient: sameAsFirst,
  controlDependency: sameAsFirst,
};
