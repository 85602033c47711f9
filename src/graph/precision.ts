/** Mixed precision: products in a low type, everything else and the weights in float32. */
import { add, cast, unsqueeze } from "./build.ts";
import { expand } from "./expand.ts";
import type { Graph } from "./graph.ts";
import type { Op } from "./op.ts";
import { rewriteGraph } from "./rewrite.ts";
import { apply, type Tensor } from "./tensor.ts";

/** Element types of products that are faster than float32 on most devices that have them. */
export type LowPrecision = "float16" | "bfloat16";

const products: ReadonlySet<Op> = new Set<Op>([
  "linear",
  "linearWeightGradient",
  "matmul",
  "conv2d",
  "conv2dInputGradient",
  "conv2dWeightGradient",
]);

/**
 * The graph with its float32 products computed from operands that are rounded to `dtype`, as PyTorch's autocast does it;
 * a device adds up their terms in float32, and the results are float32 again. Addends, norms, softmax and the rest stay.
 * Apply it behind `gradient`, so that the products of the backward pass are low, too. Engines that have no such products
 * refuse the graph when it is compiled.
 */
export function withPrecision(graph: Graph, dtype: LowPrecision): Graph {
  return rewriteGraph(expand(graph, ["attention"]), (node, inputs) => {
    if (!products.has(node.op) || node.outputs[0]!.dtype !== "float32") return undefined;
    const hasAddend = inputs.length > 2;
    const operands = inputs.slice(0, 2).map((x) => cast(x, dtype));
    const [product] = apply<Op>(node.op, operands, node.attributes).outputs;
    const y = cast(product!, "float32");
    return [hasAddend ? add(y, addendOf(node.op, inputs[2]!)) : y];
  });
}

/** A convolution's bias [O] as [O, 1, 1]. */
const addendOf = (op: Op, addend: Tensor): Tensor => (op === "conv2d" ? unsqueeze(unsqueeze(addend, -1), -1) : addend);
