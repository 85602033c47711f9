/** The closed list of operations: what each one means and the attributes it carries. Every rule table is keyed by it. */
import type { DType, NDArray } from "../array/ndarray.ts";
import type { Dim, Shape } from "./dim.ts";

/** Element types the graph computes in. */
export type GraphDType = Extract<
  DType,
  "float32" | "float64" | "float16" | "bfloat16" | "int8" | "uint8" | "int32" | "bool"
>;

/** Whether numbers of this type have gradients. */
export const isFloating = (dtype: GraphDType): boolean => dtype.includes("float");

/** The largest whole number that `quantizeRows` and `quantizeWeight` give, and their smallest range (of rows of zeros). */
export const QUANTIZED_MAX = 127;
export const SMALLEST_RANGE = 2 ** -100;

/** What is known of a tensor before any number is. */
export interface TensorType {
  readonly dtype: GraphDType;
  readonly shape: Shape;
}

type None = Record<never, never>;

/** Attributes by operation. Legend: x, y operands; N batch, T tokens, I in, O out, C channels. */
export interface OpAttributes {
  // leaves
  input: { name: string; dtype: GraphDType; shape: readonly Dim[] };
  parameter: { name: string; dtype: GraphDType; shape: readonly number[] };
  constant: { value: NDArray };
  fill: { value: number; dtype: GraphDType; shape: readonly Dim[] };
  // elementwise, one operand
  neg: None;
  exp: None;
  log: None;
  sqrt: None;
  abs: None;
  cos: None;
  sin: None;
  tanh: None;
  sigmoid: None;
  erf: None;
  relu: None;
  silu: None;
  /** Tanh approximation. */
  geluTanh: None;
  gelu: None;
  cast: { to: GraphDType };
  // elementwise, two operands, broadcasting as NumPy does
  add: None;
  sub: None;
  mul: None;
  div: None;
  maximum: None;
  minimum: None;
  less: None;
  equal: None;
  /** (condition, x, y): x where the condition holds, y elsewhere. */
  where: None;
  // reductions
  sum: { axes: readonly number[]; keepDims: boolean };
  max: { axes: readonly number[]; keepDims: boolean };
  // layout
  reshape: { shape: readonly Dim[] };
  transpose: { permutation: readonly number[] };
  broadcast: { shape: readonly Dim[] };
  concat: { axis: number };
  /** Equal parts along an axis, one output each. */
  split: { axis: number; parts: number };
  slice: { axis: number; start: number; end: number };
  /** Zeros before and after along an axis: the adjoint of `slice`. */
  pad: { axis: number; before: number; after: number };
  // products
  /** scale · op(x) op(y) over the last two axes; y may be a matrix shared by all rows of x. */
  matmul: { transposeA: boolean; transposeB: boolean; scale: number };
  /** scale · x Wᵀ + addend: x [..., I], W [O, I], addend [O] or [..., O]. */
  linear: { scale: number };
  /** scale · yᵀ x summed over all leading axes: y [..., O], x [..., I] → [O, I]. */
  linearWeightGradient: { scale: number };
  /** x [..., I] → round(127 x / r) + 128 in uint8, and r [..., 1]: a row's largest |x|, at least 2^-100. */
  quantizeRows: None;
  /** W [O, I] → round(127 W / r) in int8, transposed to [I, O], and r [O]: as `quantizeRows`, without the 128. */
  quantizeWeight: None;
  /** (q [..., I], r [..., 1], w [I, O], s [O]) → scale · (r / 127) (s / 127) (q − 128) w. */
  quantizedLinear: { scale: number };
  /** softmax(scale · q kᵀ) v: [N, H, T, D]. */
  attention: { scale: number };
  // normalisation, over the last axis
  softmax: None;
  /** Without affine part; outputs (x − mean) · invStd and invStd [..., 1]. */
  layerNorm: { epsilon: number };
  // images [N, C, H, W]
  /** Padding of a convolution: rows above and below, columns left and right. */
  conv2d: { stride: number; padding: readonly [number, number] };
  conv2dInputGradient: { stride: number; padding: readonly [number, number]; inputSize: readonly [number, number] };
  conv2dWeightGradient: { stride: number; padding: readonly [number, number]; kernelSize: readonly [number, number] };
  maxPool2d: { kernel: number; stride: number; padding: number };
  /** Padding does not count in the mean. */
  averagePool2d: { kernel: number; stride: number; padding: number };
  // rows (first axis)
  /** (x, index): rows of x; the index may have any shape. */
  gather: None;
  /** (index, updates): sums update rows into `rows` zero rows: the adjoint of `gather`. */
  scatterAdd: { rows: Dim };
  /** (x, kept, dropped, inverse) → the kept and the dropped rows; the two indices together name each row once. */
  partitionRows: None;
  /** (a, b, kept, dropped, inverse): rows of [a; b] in the order of `inverse`: the adjoint of `partitionRows`. */
  mergeRows: None;
  /**
   * key [N, 2] int32 → 0 and 1 in float32 under `shape` [N, ...]. Element i of a row is 1 if its draw is less than
   * probability · 2^16, a whole number. Its draw is 16 bits of Philox4x32-7 with the row's key and the counter
   * (⌊i / 8⌋, stream, 0, 0): draws 2j and 2j + 1 of a block are the lower and the upper half of word j. So a row depends
   * on its key, never on its place in the batch.
   */
  bernoulli: { probability: number; stream: number; shape: readonly Dim[] };
  stopGradient: None;
  /** (x, y): the value of x, computed not before y. */
  controlDependency: None;
}

export type Op = keyof OpAttributes;
