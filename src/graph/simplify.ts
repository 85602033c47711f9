/** Rewrites that save memory traffic and change no value. */
import { add, div, mul, sub } from "./build.ts";
import { broadcastShapes, sameShape } from "./dim.ts";
import type { Graph } from "./graph.ts";
import { mergeCommonSubexpressions, rewriteGraph } from "./rewrite.ts";
import { isOp, type Node, type Tensor } from "./tensor.ts";

const broadcasting = { add, sub, mul, div } as const;

/** Removes needless broadcasts and additions of zero, then computes equal expressions once. */
export function simplify(graph: Graph): Graph {
  return mergeCommonSubexpressions(
    rewriteGraph(graph, (node, inputs) => withoutZero(node, inputs) ?? withoutBroadcast(node, inputs)),
  );
}

const isZero = (x: Tensor): boolean => isOp(x.node, "fill") && x.node.attributes.value === 0;

function withoutZero(node: Node, [a, b]: readonly Tensor[]): readonly Tensor[] | undefined {
  if (node.op !== "add" || !a || !b) return undefined;
  if (isZero(b) && sameShape(a.shape, node.outputs[0]!.shape)) return [a];
  if (isZero(a) && sameShape(b.shape, node.outputs[0]!.shape)) return [b];
  return undefined;
}

/** An operation that broadcasts anyway takes the small operand, if the result keeps its shape. */
function withoutBroadcast(node: Node, inputs: readonly Tensor[]): readonly Tensor[] | undefined {
  const combine = broadcasting[node.op as keyof typeof broadcasting];
  if (!combine || !inputs.some((x) => isOp(x.node, "broadcast"))) return undefined;
  let operands = [...inputs];
  for (let i = 0; i < 2; i++) {
    const small = operands.map((x, j) => (j === i && isOp(x.node, "broadcast") ? x.node.inputs[0]! : x));
    const shape = broadcastShapes(small[0]!.shape, small[1]!.shape);
    if (shape && sameShape(shape, node.outputs[0]!.shape)) operands = small;
  }
  return operands.some((x, i) => x !== inputs[i]) ? [combine(operands[0]!, operands[1]!)] : undefined;
}
