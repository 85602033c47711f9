/** Reverse-mode differentiation of a graph by graph: walks back only from what is asked for. */
import { add, fill } from "./build.ts";
import { type GradientRule, gradientRules } from "./gradient-rules.ts";
import { nodesOf } from "./graph.ts";
import { isFloating, type Op, type TensorType } from "./op.ts";
import { type Node, ShapeError, type Tensor } from "./tensor.ts";

/**
 * ∂loss/∂x for each tensor of `wrt`, which may be parameters or any tensors between them and the loss. A tensor that
 * the loss does not depend on gets zeros.
 * @throws ShapeError if the loss is not one floating-point number.
 */
export function gradient(loss: Tensor, wrt: readonly Tensor[]): Tensor[] {
  if (loss.shape.length > 0) throw new ShapeError(`gradient expects a loss without axes; reduce it with sum or mean`);
  if (!isFloating(loss.dtype))
    throw new ShapeError(`gradient expects a loss of floating-point numbers, got ${loss.dtype}`);
  const nodes = nodesOf([loss]);
  const needed = dependants(nodes, wrt);
  const total = new Map<Node, (Tensor | undefined)[]>();
  const accumulate = (x: Tensor, dx: Tensor) => {
    const slots = total.get(x.node) ?? [];
    const before = slots[x.output];
    slots[x.output] = before ? add(before, dx) : dx;
    total.set(x.node, slots);
  };
  accumulate(loss, filled(1, loss));
  for (const node of nodes.reverse()) {
    const slots = total.get(node);
    if (!slots || !node.inputs.some((x) => needed.has(x.node))) continue;
    const dy = node.outputs.map((y, i) => slots[i] ?? filled(0, y));
    const rule = gradientRules[node.op] as GradientRule<Op>;
    const results = rule(node, dy, (i) => i < node.inputs.length && needed.has(node.inputs[i]!.node));
    node.inputs.forEach((x, i) => {
      const dx = results[i];
      if (dx && needed.has(x.node)) accumulate(x, dx);
    });
  }
  return wrt.map((x) => total.get(x.node)?.[x.output] ?? filled(0, x));
}

/** Of whole numbers, which have no gradient, float32. */
const filled = (value: number, { shape, dtype }: TensorType): Tensor =>
  fill(value, shape, isFloating(dtype) ? dtype : "float32");

/** The nodes of `wrt` and all nodes that depend on them. */
function dependants(nodes: readonly Node[], wrt: readonly Tensor[]): Set<Node> {
  const found = new Set(wrt.map((x) => x.node));
  for (const node of nodes) {
    if (node.op !== "stopGradient" && node.inputs.some((x) => found.has(x.node))) found.add(node);
  }
  return found;
}
