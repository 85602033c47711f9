/** The derivative of every operation, as one table: (node, gradients of its outputs) → gradients of its inputs. */
import {
  add,
  broadcast,
  cast,
  concat,
  cos,
  div,
  equal,
  exp,
  gather,
  less,
  linear,
  linearWeightGradient,
  matmul,
  mean,
  mergeRows,
  mul,
  neg,
  type Operand,
  pad,
  partitionRows,
  type Routes,
  reshape,
  scatterAdd,
  sigmoid,
  sin,
  slice,
  softmax,
  sub,
  sum,
  transpose,
  unsqueeze,
  where,
} from "./build.ts";
import type { Shape } from "./dim.ts";
import { averagePoolGradient, conv2dGradient, maxPoolGradient } from "./image-gradients.ts";
import { isFloating, type Op } from "./op.ts";
import { dimAt, fixedDim, isOp, type Node, type Tensor } from "./tensor.ts";

/** `dy` has one entry per output (zeros where no gradient arrived); undefined results mean "no gradient". */
export type GradientRule<K extends Op> = (
  node: Node<K>,
  dy: readonly Tensor[],
  needs: (input: number) => boolean,
) => readonly (Tensor | undefined)[];

/** Sums a gradient back to the shape that was broadcast. */
export function sumTo(dy: Tensor, shape: Shape): Tensor {
  const extra = dy.shape.length - shape.length;
  const axes = dy.shape.flatMap((dim, i) => (i < extra || (shape[i - extra] === 1 && dim !== 1) ? [i] : []));
  return reshape(sum(dy, axes, true), shape);
}

const none = (): readonly undefined[] => [];
const isFloat = ({ dtype }: Tensor): boolean => isFloating(dtype);
/** The row numbers are the last three operands of both row operations. */
const routesOf = (inputs: readonly Tensor[]): Routes => {
  const [kept, dropped, inverse] = inputs.slice(-3) as [Tensor, Tensor, Tensor];
  return { kept, dropped, inverse };
};

/** dx = dy · f'(x), from x and y = f(x). */
const pointwise =
  <K extends Op>(derivative: (x: Tensor, y: Tensor) => Operand): GradientRule<K> =>
  (node, [dy]) => [mul(dy!, derivative(node.inputs[0]!, node.outputs[0]!))];

/** Both gradients of a broadcasting operation, each summed back to its operand's shape. */
const broadcasting =
  <K extends Op>(
    da: (dy: Tensor, a: Tensor, b: Tensor, y: Tensor) => Tensor,
    db: (dy: Tensor, a: Tensor, b: Tensor, y: Tensor) => Tensor,
  ): GradientRule<K> =>
  (node, [dy], needs) => {
    const [a, b] = node.inputs as [Tensor, Tensor];
    const y = node.outputs[0]!;
    return [
      needs(0) ? sumTo(da(dy!, a, b, y), a.shape) : undefined,
      needs(1) ? sumTo(db(dy!, a, b, y), b.shape) : undefined,
    ];
  };

/** Two equal operands get half of the gradient each (PyTorch's maximum and minimum). */
const whereChosen = (dy: Tensor, own: Tensor, other: Tensor, y: Tensor): Tensor =>
  where(equal(own, other), mul(dy, 0.5), where(equal(own, y), dy, 0));
const chosen = broadcasting<"maximum" | "minimum">(whereChosen, (dy, a, b, y) => whereChosen(dy, b, a, y));

/** −1, 0 or 1. */
const sign = (x: Tensor): Tensor => sub(cast(less(0, x), x.dtype), cast(less(x, 0), x.dtype));

function geluDerivative(x: Tensor): Tensor {
  const c = 2 * Math.sqrt(2 / Math.PI);
  const a = add(mul(mul(x, x), 0.044715 * c), c);
  const u = mul(x, a);
  const s = sigmoid(u);
  const w = mul(x, sub(mul(a, 3), 2 * c));
  return mul(s, add(mul(w, sub(1, s)), 1));
}

function siluDerivative(x: Tensor): Tensor {
  const s = sigmoid(x);
  return mul(s, add(mul(x, sub(1, s)), 1));
}

function geluExactDerivative(x: Tensor, y: Tensor): Tensor {
  const density = mul(exp(mul(mul(x, x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
  // y / x is Φ(x), except at 0, where Φ is 1/2.
  const isZero = equal(x, 0);
  const cumulative = where(isZero, 0.5, div(y, where(isZero, 1, x)));
  return add(cumulative, mul(x, density));
}

const keepDims = (x: Tensor, axes: readonly number[]): Shape => x.shape.map((dim, i) => (axes.includes(i) ? 1 : dim));

const matmulGradient: GradientRule<"matmul"> = (node, [dy], needs) => {
  const [a, b] = node.inputs as [Tensor, Tensor];
  const { transposeA, transposeB, scale } = node.attributes;
  const g = dy!;
  const da = () =>
    transposeA
      ? matmul(b, g, { transposeA: transposeB, transposeB: true, scale })
      : matmul(g, b, { transposeB: !transposeB, scale });
  const db = () => {
    if (b.shape.length === 2 && a.shape.length > 2) {
      return transposeB ? linearWeightGradient(g, a, scale) : linearWeightGradient(a, g, scale);
    }
    return transposeB
      ? matmul(g, a, { transposeA: true, transposeB: transposeA, scale })
      : matmul(a, g, { transposeA: !transposeA, scale });
  };
  return [needs(0) ? da() : undefined, needs(1) ? db() : undefined];
};

/** scale · x W, where x may be one vector. */
function timesMatrix(x: Tensor, w: Tensor, scale: number): Tensor {
  if (x.shape.length > 1) return matmul(x, w, { scale });
  return reshape(matmul(unsqueeze(x, 0), w, { scale }), [dimAt(w, 1)]);
}

const linearGradient: GradientRule<"linear"> = (node, [dy], needs) => {
  const [x, weight, addend] = node.inputs as [Tensor, Tensor, Tensor?];
  const { scale } = node.attributes;
  return [
    needs(0) ? timesMatrix(dy!, weight, scale) : undefined,
    needs(1) ? linearWeightGradient(dy!, x, scale) : undefined,
    addend && needs(2) ? sumTo(dy!, addend.shape) : undefined,
  ];
};

/** δ = rowsum(dO · O) instead of rowsum(dP · P): shorter rows (Dao et al. 2022, FlashAttention, eq. 4). */
const attentionGradient: GradientRule<"attention"> = (node, [dy], needs) => {
  const [q, k, v] = node.inputs as [Tensor, Tensor, Tensor];
  const { scale } = node.attributes;
  const p = softmax(matmul(q, k, { transposeB: true, scale }));
  const dv = needs(2) ? matmul(p, dy!, { transposeA: true }) : undefined;
  if (!needs(0) && !needs(1)) return [undefined, undefined, dv];
  const delta = sum(mul(dy!, node.outputs[0]!), [3], true);
  const ds = mul(p, sub(matmul(dy!, v, { transposeB: true }), delta));
  return [matmul(ds, k, { scale }), matmul(ds, q, { transposeA: true, scale }), dv];
};

/**
 * From xHat and 1/std, which the forward pass has: dx = (dy − mean(dy) − xHat · mean(dy · xHat)) / std, and where 1/std
 * itself is used, − d(1/std) · xHat / (D · std²).
 */
const layerNormGradient: GradientRule<"layerNorm"> = (node, [dy, dInvStd]) => {
  const [xHat, invStd] = node.outputs as readonly Tensor[] as readonly [Tensor, Tensor];
  const axis = [xHat.shape.length - 1];
  const meanDy = mean(dy!, axis, true);
  const meanDyX = mean(mul(dy!, xHat), axis, true);
  const dx = mul(sub(sub(dy!, meanDy), mul(xHat, meanDyX)), invStd);
  const { node: arrived } = dInvStd!;
  if (isOp(arrived, "fill") && arrived.attributes.value === 0) return [dx];
  const share = mul(mul(dInvStd!, mul(invStd, invStd)), 1 / fixedDim(xHat, -1));
  return [sub(dx, mul(xHat, share))];
};

const refused = (message: string) => (): never => {
  throw new Error(message);
};
const notDifferentiable = (op: Op) =>
  refused(`${op} is itself part of a gradient; second derivatives through it are not available`);
const rounded = refused("whole numbers have no gradient; take gradients before withPrecision");

/** The gradient rules, one for each operation. */
export const gradientRules: { readonly [K in Op]: GradientRule<K> } = {
  input: none,
  parameter: none,
  constant: none,
  fill: none,
  neg: (_, [dy]) => [neg(dy!)],
  exp: pointwise((_, y) => y),
  log: (node, [dy]) => [div(dy!, node.inputs[0]!)],
  sqrt: (node, [dy]) => [div(mul(dy!, 0.5), node.outputs[0]!)],
  abs: pointwise(sign),
  cos: pointwise((x) => neg(sin(x))),
  sin: pointwise(cos),
  tanh: pointwise((_, y) => sub(1, mul(y, y))),
  sigmoid: pointwise((_, y) => mul(y, sub(1, y))),
  erf: pointwise((x) => mul(exp(neg(mul(x, x))), 2 / Math.sqrt(Math.PI))),
  relu: (node, [dy]) => [where(equal(node.outputs[0]!, 0), 0, dy!)],
  silu: pointwise(siluDerivative),
  geluTanh: pointwise(geluDerivative),
  gelu: pointwise(geluExactDerivative),
  // whole numbers and conditions are steps: their derivative is 0
  cast: (node, [dy]) => [
    isFloat(node.inputs[0]!) && isFloat(node.outputs[0]!) ? cast(dy!, node.inputs[0]!.dtype) : undefined,
  ],
  add: broadcasting(
    (dy) => dy,
    (dy) => dy,
  ),
  sub: broadcasting((dy) => dy, neg),
  mul: broadcasting(
    (dy, _, b) => mul(dy, b),
    (dy, a) => mul(dy, a),
  ),
  div: broadcasting(
    (dy, _, b) => div(dy, b),
    (dy, _, b, y) => neg(div(mul(dy, y), b)),
  ),
  maximum: chosen,
  minimum: chosen,
  less: none,
  equal: none,
  where: (node, [dy], needs) => {
    const [condition, x, y] = node.inputs as [Tensor, Tensor, Tensor];
    return [
      undefined,
      needs(1) ? sumTo(where(condition, dy!, 0), x.shape) : undefined,
      needs(2) ? sumTo(where(condition, 0, dy!), y.shape) : undefined,
    ];
  },
  sum: (node, [dy]) => {
    const x = node.inputs[0]!;
    return [broadcast(reshape(dy!, keepDims(x, node.attributes.axes)), x.shape)];
  },
  max: (node, [dy]) => {
    const x = node.inputs[0]!;
    const shape = keepDims(x, node.attributes.axes);
    const isMax = cast(equal(x, reshape(node.outputs[0]!, shape)), x.dtype);
    const ties = sum(isMax, node.attributes.axes, true);
    return [mul(isMax, div(reshape(dy!, shape), ties))];
  },
  reshape: (node, [dy]) => [reshape(dy!, node.inputs[0]!.shape)],
  transpose: (node, [dy]) => {
    const inverse = node.attributes.permutation.map((_, i) => node.attributes.permutation.indexOf(i));
    return [transpose(dy!, inverse)];
  },
  broadcast: (node, [dy]) => [sumTo(dy!, node.inputs[0]!.shape)],
  concat: (node, [dy], needs) => {
    const { axis } = node.attributes;
    let start = 0;
    return node.inputs.map((x, i) => {
      const from = start;
      start += fixedDim(x, axis);
      return needs(i) ? slice(dy!, axis, from, start) : undefined;
    });
  },
  split: (node, dy) => [concat(dy, node.attributes.axis)],
  slice: (node, [dy]) => {
    const { axis, start, end } = node.attributes;
    return [pad(dy!, axis, start, fixedDim(node.inputs[0]!, axis) - end)];
  },
  pad: (node, [dy]) => {
    const { axis, before } = node.attributes;
    return [slice(dy!, axis, before, before + fixedDim(node.inputs[0]!, axis))];
  },
  matmul: matmulGradient,
  linear: linearGradient,
  linearWeightGradient: (node, [dw]) => {
    const [dy, x] = node.inputs as [Tensor, Tensor];
    const { scale } = node.attributes;
    return [linear(x, dw!, undefined, scale), timesMatrix(dy, dw!, scale)];
  },
  quantizeRows: rounded,
  quantizeWeight: rounded,
  quantizedLinear: rounded,
  attention: attentionGradient,
  softmax: (node, [dy]) => {
    const p = node.outputs[0]!;
    return [mul(p, sub(dy!, sum(mul(p, dy!), [p.shape.length - 1], true)))];
  },
  layerNorm: layerNormGradient,
  conv2d: conv2dGradient,
  conv2dInputGradient: notDifferentiable("conv2dInputGradient"),
  conv2dWeightGradient: notDifferentiable("conv2dWeightGradient"),
  maxPool2d: (node, [dy]) => [maxPoolGradient(node, dy!)],
  averagePool2d: (node, [dy]) => [averagePoolGradient(node, dy!)],
  gather: (node, [dy]) => {
    const [x, index] = node.inputs as [Tensor, Tensor];
    return [scatterAdd(index, dy!, dimAt(x, 0))];
  },
  scatterAdd: (node, [dy]) => [undefined, gather(dy!, node.inputs[0]!)],
  partitionRows: (node, [dKept, dDropped]) => [mergeRows(dKept!, dDropped!, routesOf(node.inputs))],
  mergeRows: (node, [dy]) => partitionRows(dy!, routesOf(node.inputs)),
  bernoulli: none,
  stopGradient: none,
  controlDependency: (_, [dy]) => [dy!, undefined],
};
