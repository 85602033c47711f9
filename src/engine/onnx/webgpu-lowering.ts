/** How ONNX Runtime's WebGPU provider computes each operation: as on the CPU, except where it cannot or is wrong. */
import { float32, zeros } from "../../array/ndarray.ts";
import type { Shape } from "../../graph/dim.ts";
import type { Op } from "../../graph/op.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { cpuLowering } from "./cpu-lowering.ts";
import type { Emitter } from "./emitter.ts";
import type { Lowering, LoweringRule } from "./lowering.ts";
import { cosOf, sinOf } from "./webgpu-trigonometry.ts";

const { rules: shared } = cpuLowering;

/** Axes that may be empty at run time. */
const openAxes = (shape: Shape): readonly number[] => [...shape.keys()].filter((i) => typeof shape[i] !== "number");

/** One more row of zeros at the end of each of these axes. */
function withSpareRows(e: Emitter, name: string, { dtype }: Tensor, axes: readonly number[]): string {
  const counts = [...axes.map(() => 0), ...axes.map(() => 1)];
  return axes.length === 0 ? name : e.node("Pad", [name, e.int64(counts), e.constant(zeros(dtype, [])), e.int64(axes)]);
}

function withoutSpareRows(e: Emitter, name: string, axes: readonly number[]): string {
  const bounds = (value: number) => e.int64(axes.map(() => value));
  return axes.length === 0 ? name : e.node("Slice", [name, bounds(0), bounds(-1), e.int64(axes)]);
}

/** A rule for kernels that refuse to run on no rows: a batch that may be empty is computed with one row more. */
const neverEmpty =
  <K extends Op>(rule: LoweringRule<K>): LoweringRule<K> =>
  (e, [x, ...others], attributes, node, nameOf) => {
    const tensor = node.inputs[0]!;
    const axes = openAxes(tensor.shape);
    const y = rule(e, [withSpareRows(e, x!, tensor, axes), ...others], attributes, node, nameOf);
    return withoutSpareRows(e, y as string, axes);
  };

/** Axes that are reduced get no spare row: it would change the result. */
const softmax: LoweringRule<"softmax"> = (e, [x], attributes, node, nameOf) => {
  const [tensor] = node.inputs as [Tensor];
  const axes = openAxes(tensor.shape.slice(0, -1));
  const y = shared.softmax(e, [withSpareRows(e, x!, tensor, axes)], attributes, node, nameOf);
  return withoutSpareRows(e, y as string, axes);
};

const max: LoweringRule<"max"> = (e, [x], { axes: reduced, keepDims }, node) => {
  const [tensor] = node.inputs as [Tensor];
  const axes = openAxes(tensor.shape).filter((axis) => !reduced.includes(axis));
  const kept = e.node("ReduceMax", [withSpareRows(e, x!, tensor, axes), e.int64(reduced)], { keepdims: 1 });
  const y = withoutSpareRows(e, kept, axes);
  return keepDims ? y : e.node("Squeeze", [y, e.int64(reduced)]);
};

/** No updates at all end the process, in a product over no rows; zeros added to row 0 change nothing. */
const scatterAdd: LoweringRule<"scatterAdd"> = (e, [index, updates], attributes, node, nameOf) => {
  const [indexTensor, updatesTensor] = node.inputs as [Tensor, Tensor];
  const axes = openAxes(indexTensor.shape);
  const operands = [withSpareRows(e, index!, indexTensor, axes), withSpareRows(e, updates!, updatesTensor, axes)];
  return shared.scatterAdd(e, operands, attributes, node, nameOf);
};

function swapLastAxes(e: Emitter, x: string, { shape }: Tensor): string {
  const order = [...shape.keys()];
  return e.node("Transpose", [x], { perm: [...order.slice(0, -2), order.at(-1)!, order.at(-2)!] });
}

/**
 * There is no FusedMatMul. The scale goes to the smaller of x and the product: the one with fewer columns. A sum over no
 * terms ends the process, so an inner axis that may be empty gets a term of zero.
 */
const matmul: LoweringRule<"matmul"> = (e, [a, b], attributes, node, nameOf) => {
  const { transposeA, transposeB, scale } = attributes;
  const [x, y] = node.inputs as [Tensor, Tensor];
  const rank = y.shape.length;
  if (rank === 2) return shared.matmul(e, [a!, b!], attributes, node, nameOf);
  const scaled = (name: string) => (scale === 1 ? name : e.node("Mul", [name, e.constant(float32([scale], []))]));
  const inner = y.shape.at(transposeB ? -1 : -2)!;
  const columns = node.outputs[0]!.shape.at(-1)!;
  const isOpen = typeof inner !== "number";
  const scaleFirst = !isOpen && typeof columns === "number" && inner < columns;
  const left = withSpareRows(e, scaleFirst ? scaled(a!) : a!, x, isOpen ? [rank - (transposeA ? 2 : 1)] : []);
  const right = withSpareRows(e, b!, y, isOpen ? [rank - (transposeB ? 1 : 2)] : []);
  const product = e.node("MatMul", [
    transposeA ? swapLastAxes(e, left, x) : left,
    transposeB ? swapLastAxes(e, right, y) : right,
  ]);
  return scaleFirst ? product : scaled(product);
};

/**
 * The kernel takes the variance as mean(x²) − mean(x)², which cancels where the mean is many deviations from zero: at 70
 * it is wrong in the third digit. Without its mean, x has the same outputs and nothing to cancel.
 */
const layerNorm: LoweringRule<"layerNorm"> = (e, [x], attributes, node, nameOf) => {
  const mean = e.node("ReduceMean", [x!, e.int64([-1])], { keepdims: 1 });
  return shared.layerNorm(e, [e.node("Sub", [x!, mean])], attributes, node, nameOf);
};

/** The lowering table of the WebGPU provider. Nodes it has no kernel for run on the CPU, in the same session. */
export const webgpuLowering: Lowering = {
  expands: cpuLowering.expands,
  rules: {
    ...shared,
    cos: (e, [x]) => cosOf(e, x!),
    sin: (e, [x]) => sinOf(e, x!),
    max,
    matmul,
    softmax,
    layerNorm,
    conv2d: neverEmpty(shared.conv2d),
    conv2dInputGradient: neverEmpty(shared.conv2dInputGradient),
    maxPool2d: neverEmpty(shared.maxPool2d),
    averagePool2d: neverEmpty(shared.averagePool2d),
    scatterAdd,
  },
};
