/** Composite operations in terms of smaller ones: what a provider lowers when it has no kernel of its own. */
import { add, div, erf, matmul, mul, sigmoid, softmax, tanh } from "./build.ts";
import type { Graph } from "./graph.ts";
import type { Op, OpAttributes } from "./op.ts";
import { rewriteGraph } from "./rewrite.ts";
import type { Tensor } from "./tensor.ts";

type Expansion<K extends Op> = (inputs: readonly Tensor[], attributes: OpAttributes[K]) => Tensor;
export type CompositeOp = "attention" | "silu" | "geluTanh" | "gelu";

const expansions: { readonly [K in CompositeOp]: Expansion<K> } = {
  attention: ([q, k, v], { scale }) => matmul(softmax(matmul(q!, k!, { transposeB: true, scale })), v!),
  silu: ([x]) => mul(x!, sigmoid(x!)),
  geluTanh: ([x]) => {
    const u = mul(add(mul(mul(mul(x!, x!), x!), 0.044715), x!), Math.sqrt(2 / Math.PI));
    return mul(mul(x!, 0.5), add(tanh(u), 1));
  },
  gelu: ([x]) => mul(mul(x!, 0.5), add(erf(div(x!, Math.SQRT2)), 1)),
};

/** Replaces the composite operations named in `ops` by smaller ones. */
export function expand(graph: Graph, ops: readonly CompositeOp[]): Graph {
  return rewriteGraph(graph, (node, inputs) => {
    const op = ops.find((name) => name === node.op);
    if (!op) return undefined;
    const expansion = expansions[op] as Expansion<Op>;
    return [expansion(inputs, node.attributes)];
  });
}
