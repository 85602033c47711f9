/** Functions that apply the operations: what model code is written with. */
import { float32, type NDArray, NDArray as Values } from "../array/ndarray.ts";
import { type Dim, type Shape, sameShape } from "./dim.ts";
import type { GraphDType, Op } from "./op.ts";
import { apply, dimAt, type Tensor } from "./tensor.ts";

/** A tensor or a number that is broadcast. */
export type Operand = Tensor | number;
const none = {};

/** A named value that is fed at each run. */
export function input(name: string, shape: Shape, dtype: GraphDType = "float32"): Tensor {
  return apply("input", [], { name, dtype, shape }).outputs[0]!;
}

/** A named weight. */
export function parameter(name: string, shape: readonly number[], dtype: GraphDType = "float32"): Tensor {
  return apply("parameter", [], { name, dtype, shape }).outputs[0]!;
}

/** Numbers known when the graph is built. */
export function constant(value: NDArray): Tensor {
  return apply("constant", [], { value }).outputs[0]!;
}

/** One number, without axes. */
export function scalar(value: number, dtype: GraphDType = "float32"): Tensor {
  if (dtype === "float32") return constant(float32([value], []));
  if (dtype === "float64") return constant(new Values("float64", [], Float64Array.of(value)));
  if (dtype === "int32") return constant(new Values("int32", [], Int32Array.of(value)));
  return cast(constant(float32([value], [])), dtype);
}

/** A tensor that holds `value` everywhere. */
export function fill(value: number, shape: Shape, dtype: GraphDType = "float32"): Tensor {
  return apply("fill", [], { value, dtype, shape }).outputs[0]!;
}

type Unary =
  | "neg"
  | "exp"
  | "log"
  | "sqrt"
  | "abs"
  | "cos"
  | "sin"
  | "tanh"
  | "sigmoid"
  | "erf"
  | "relu"
  | "silu"
  | "geluTanh"
  | "gelu";
type Binary = "add" | "sub" | "mul" | "div" | "maximum" | "minimum" | "less" | "equal";

const unary = (op: Unary) => (x: Tensor) => apply(op, [x], none).outputs[0]!;
const binary = (op: Binary) => (a: Operand, b: Operand) => {
  const x = typeof a === "number" ? scalar(a, (b as Tensor).dtype) : a;
  const y = typeof b === "number" ? scalar(b, x.dtype) : b;
  return apply(op, [x, y], none).outputs[0]!;
};

export const neg = unary("neg");
export const exp = unary("exp");
export const log = unary("log");
export const sqrt = unary("sqrt");
export const abs = unary("abs");
export const cos = unary("cos");
export const sin = unary("sin");
export const tanh = unary("tanh");
export const sigmoid = unary("sigmoid");
export const erf = unary("erf");
export const relu = unary("relu");
export const silu = unary("silu");
/** GELU, tanh approximation. */
export const geluTanh = unary("geluTanh");
/** GELU, exact. */
export const gelu = unary("gelu");

export const add = binary("add");
export const sub = binary("sub");
export const mul = binary("mul");
export const div = binary("div");
export const maximum = binary("maximum");
export const minimum = binary("minimum");
export const less = binary("less");
export const equal = binary("equal");

/** x where the condition holds, y elsewhere. */
export function where(condition: Tensor, x: Operand, y: Operand): Tensor {
  const dtype = typeof x === "number" ? (typeof y === "number" ? "float32" : y.dtype) : x.dtype;
  const [a, b] = [x, y].map((v) => (typeof v === "number" ? scalar(v, dtype) : v)) as [Tensor, Tensor];
  return apply("where", [condition, a, b], none).outputs[0]!;
}

export function cast(x: Tensor, to: GraphDType): Tensor {
  return x.dtype === to ? x : apply("cast", [x], { to }).outputs[0]!;
}

const fromEnd = (x: Tensor, axis: number): number => (axis < 0 ? axis + x.shape.length : axis);
const allAxes = (x: Tensor): readonly number[] => x.shape.map((_, i) => i);

/** Sum over `axes` (all by default). */
export function sum(x: Tensor, axes: readonly number[] = allAxes(x), keepDims = false): Tensor {
  return axes.length === 0 ? x : reduce("sum", x, axes, keepDims);
}

/** Largest value over `axes` (all by default). */
export function max(x: Tensor, axes: readonly number[] = allAxes(x), keepDims = false): Tensor {
  return axes.length === 0 ? x : reduce("max", x, axes, keepDims);
}

function reduce(op: Extract<Op, "sum" | "max">, x: Tensor, axes: readonly number[], keepDims: boolean): Tensor {
  const sorted = axes.map((axis) => fromEnd(x, axis)).sort((a, b) => a - b);
  return apply(op, [x], { axes: sorted, keepDims }).outputs[0]!;
}

/** How many elements x has along `axes`: a number where their sizes are fixed, else a scalar of the graph. */
export function numelAlong(x: Tensor, axes: readonly number[]): number | Tensor {
  const sizes = axes.map((axis) => dimAt(x, axis));
  const fixed = sizes.reduce<number>((product, size) => product * (typeof size === "number" ? size : 1), 1);
  const symbolic = sizes.filter((size) => typeof size !== "number");
  return symbolic.length === 0 ? fixed : mul(sum(fill(1, symbolic)), fixed);
}

/** Mean over `axes`. */
export function mean(x: Tensor, axes: readonly number[], keepDims = false): Tensor {
  const count = numelAlong(x, axes);
  const total = sum(x, axes, keepDims);
  return typeof count === "number" ? mul(total, 1 / count) : div(total, cast(count, total.dtype));
}

export function reshape(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? x : apply("reshape", [x], { shape }).outputs[0]!;
}

/** Adds an axis of size 1 before `axis` (counted from the end of the result if negative). */
export function unsqueeze(x: Tensor, axis: number): Tensor {
  const at = axis < 0 ? axis + x.shape.length + 1 : axis;
  return reshape(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
}

export function transpose(x: Tensor, permutation: readonly number[]): Tensor {
  return permutation.every((axis, i) => axis === i) ? x : apply("transpose", [x], { permutation }).outputs[0]!;
}

export function broadcast(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? x : apply("broadcast", [x], { shape }).outputs[0]!;
}

export function concat(tensors: readonly Tensor[], axis: number): Tensor {
  if (tensors.length === 1) return tensors[0]!;
  return apply("concat", tensors, { axis: fromEnd(tensors[0]!, axis) }).outputs[0]!;
}

/** Equal parts along an axis. */
export function split(x: Tensor, parts: number, axis: number): readonly Tensor[] {
  return apply("split", [x], { axis: fromEnd(x, axis), parts }).outputs;
}

/** Elements [start, end) along an axis. */
export function slice(x: Tensor, axis: number, start: number, end: number): Tensor {
  const at = fromEnd(x, axis);
  return start === 0 && end === dimAt(x, at) ? x : apply("slice", [x], { axis: at, start, end }).outputs[0]!;
}

/** Zeros before and after along an axis. */
export function pad(x: Tensor, axis: number, before: number, after: number): Tensor {
  return apply("pad", [x], { axis: fromEnd(x, axis), before, after }).outputs[0]!;
}

/** scale · op(a) op(b) over the last two axes; `b` may be one matrix for all leading axes of `a`. */
export function matmul(
  a: Tensor,
  b: Tensor,
  {
    transposeA = false,
    transposeB = false,
    scale = 1,
  }: Partial<{ transposeA: boolean; transposeB: boolean; scale: number }> = {},
): Tensor {
  return apply("matmul", [a, b], { transposeA, transposeB, scale }).outputs[0]!;
}

/** scale · x Wᵀ + addend: x [..., I], weight [O, I], addend [O] (a bias) or [..., O]. */
export function linear(x: Tensor, weight: Tensor, addend?: Tensor, scale = 1): Tensor {
  return apply("linear", addend ? [x, weight, addend] : [x, weight], { scale }).outputs[0]!;
}

/** scale · dyᵀ x over all rows: dy [..., O], x [..., I] → [O, I]. */
export function linearWeightGradient(dy: Tensor, x: Tensor, scale: number): Tensor {
  return apply("linearWeightGradient", [dy, x], { scale }).outputs[0]!;
}

/** Whole numbers up to 127, and the range that these stand for. */
export type Quantized = readonly [Tensor, Tensor];
const quantize = (op: "quantizeRows" | "quantizeWeight") => (x: Tensor) =>
  apply(op, [x], none).outputs as readonly Tensor[] as Quantized;
/** Rows of x [..., I] in uint8, each by its own range [..., 1]: about (q − 128) / 127 · range. */
export const quantizeRows = quantize("quantizeRows");
/** A weight [O, I] as int8 [I, O], each output channel by its own range [O]. */
export const quantizeWeight = quantize("quantizeWeight");

/** scale · x Wᵀ of quantized rows and a quantized weight, in float32. */
export function quantizedLinear(x: Quantized, weight: Quantized, scale = 1): Tensor {
  return apply("quantizedLinear", [...x, ...weight], { scale }).outputs[0]!;
}

/** softmax(scale · q kᵀ) v for q, k, v [N, H, T, D]. */
export function attention(q: Tensor, k: Tensor, v: Tensor, scale: number): Tensor {
  return apply("attention", [q, k, v], { scale }).outputs[0]!;
}

/** Softmax over the last axis. */
export function softmax(x: Tensor): Tensor {
  return apply("softmax", [x], none).outputs[0]!;
}

/** Normalises the last axis to mean 0 and variance 1, without affine part; outputs also 1/std [..., 1]. */
export function layerNormWithStd(x: Tensor, epsilon: number): readonly [Tensor, Tensor] {
  return apply("layerNorm", [x], { epsilon }).outputs as readonly Tensor[] as readonly [Tensor, Tensor];
}

/** Normalises the last axis to mean 0 and variance 1, without affine part. */
export function layerNorm(x: Tensor, epsilon: number): Tensor {
  return layerNormWithStd(x, epsilon)[0];
}

/** x [N, C, H, W], weight [O, C, kH, kW], bias [O] → [N, O, H', W']; padding for all sides, or for rows and columns. */
export function conv2d(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | undefined,
  stride = 1,
  padding: number | readonly [number, number] = 0,
): Tensor {
  const sides = typeof padding === "number" ? ([padding, padding] as const) : padding;
  return apply("conv2d", bias ? [x, weight, bias] : [x, weight], { stride, padding: sides }).outputs[0]!;
}

export function maxPool2d(x: Tensor, kernel: number, stride = kernel, padding = 0): Tensor {
  return apply("maxPool2d", [x], { kernel, stride, padding }).outputs[0]!;
}

/** Mean of each window; padding does not count. */
export function averagePool2d(x: Tensor, kernel: number, stride = kernel, padding = 0): Tensor {
  return apply("averagePool2d", [x], { kernel, stride, padding }).outputs[0]!;
}

/** Rows of x by an int32 index of any shape. */
export function gather(x: Tensor, index: Tensor): Tensor {
  return apply("gather", [x, index], none).outputs[0]!;
}

/** Sums update rows into `rows` zero rows. */
export function scatterAdd(index: Tensor, updates: Tensor, rows: Dim): Tensor {
  return apply("scatterAdd", [index, updates], { rows }).outputs[0]!;
}

/** How the rows of a batch are split in two and put together again: int32 lists. */
export interface Routes {
  readonly kept: Tensor;
  readonly dropped: Tensor;
  /** For each row of the whole its place in [kept; dropped]. */
  readonly inverse: Tensor;
}

/** The rows of x named by `kept` and those named by `dropped`; together they name each row once. */
export function partitionRows(x: Tensor, { kept, dropped, inverse }: Routes): readonly [Tensor, Tensor] {
  const { outputs } = apply("partitionRows", [x, kept, dropped, inverse], none);
  return outputs as readonly Tensor[] as readonly [Tensor, Tensor];
}

/** Rows of [a; b] in the order of `inverse`: undoes `partitionRows`. */
export function mergeRows(a: Tensor, b: Tensor, { kept, dropped, inverse }: Routes): Tensor {
  return apply("mergeRows", [a, b, kept, dropped, inverse], none).outputs[0]!;
}

/** The probability that `bernoulli` draws with: the nearest multiple of 2^-16. */
export function drawnProbability(probability: number): number {
  return Math.round(probability * 2 ** 16) / 2 ** 16;
}

/**
 * Random 0 and 1 under `shape` [N, ...], where 1 has `drawnProbability(probability)`. Row n depends on key[n] (of
 * [N, 2] int32) and on `stream` only.
 */
export function bernoulli(key: Tensor, shape: Shape, probability: number, stream: number): Tensor {
  return apply("bernoulli", [key], { probability: drawnProbability(probability), stream, shape }).outputs[0]!;
}

/** The value of x, through which no gradient flows. */
export function stopGradient(x: Tensor): Tensor {
  return apply("stopGradient", [x], none).outputs[0]!;
}

/** The value of x, computed not before y. */
export function controlDependency(x: Tensor, y: Tensor): Tensor {
  return apply("controlDependency", [x, y], none).outputs[0]!;
}
