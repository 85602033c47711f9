/** Mixed precision: products in a low type, everything else and the weights in float32. */
import { add, cast, type Quantized, quantizedLinear, quantizeRows, quantizeWeight, unsqueeze } from "./build.ts";
import { expand } from "./expand.ts";
import type { Graph } from "./graph.ts";
import type { Op } from "./op.ts";
import { rewriteGraph } from "./rewrite.ts";
import { apply, isOp, type Node, type Tensor } from "./tensor.ts";

/** Element types of products that are faster than float32 on most devices that have them. */
export type LowPrecision = "float16" | "bfloat16";

/** Which linear layers are computed in int8, by the names of their weights. */
export type WeightFilter = (name: string) => boolean;

const products: ReadonlySet<Op> = new Set<Op>([
  "linear",
  "linearWeightGradient",
  "matmul",
  "conv2d",
  "conv2dInputGradient",
  "conv2dWeightGradient",
]);

/**
 * The graph with products in a lower precision and float32 results. Apply it behind `gradient`; engines that have no such
 * products refuse the graph when it is compiled.
 *
 * In `float16` and `bfloat16` all float32 products take operands rounded to it, as in PyTorch's autocast; a device adds up
 * their terms in float32. Addends, norms, softmax and the rest stay.
 *
 * In `int8` the linear layers of `layers` (all by default) take whole numbers up to 127: each row of their input by a scale
 * of its own, found at run time, and each output channel of their weight (LLM.int8(), Dettmers et al. 2022, section 2.1).
 * So a row depends on no other row of the batch. All other products stay.
 */
export function withPrecision(graph: Graph, dtype: LowPrecision | "int8", layers: WeightFilter = () => true): Graph {
  return dtype === "int8" ? withInt8(graph, layers) : withRoundedOperands(graph, dtype);
}

function withRoundedOperands(graph: Graph, dtype: LowPrecision): Graph {
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

/** Only layers of a weight: what was computed from weights may have a gradient of its own, and changes at each run. */
function withInt8(graph: Graph, layers: WeightFilter): Graph {
  const weights = new Map<Node, Quantized>();
  return rewriteGraph(graph, (node, inputs) => {
    const [x, weight, addend] = inputs as readonly [Tensor, Tensor, Tensor?];
    if (!isOp(node, "linear") || !isOp(weight.node, "parameter") || node.outputs[0]!.dtype !== "float32")
      return undefined;
    if (!layers(weight.node.attributes.name)) return undefined;
    const quantized = weights.get(weight.node) ?? quantizeWeight(weight);
    weights.set(weight.node, quantized);
    const y = quantizedLinear(quantizeRows(x), quantized, node.attributes.scale);
    return [addend ? add(y, addend) : y];
  });
}
