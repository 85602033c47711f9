/** What a graph costs, from its nodes alone: parameters, arithmetic of its products, memory of its tensors. */
import { bytesPerElement, sizeOf } from "../array/ndarray.ts";
import type { Dim, Shape } from "./dim.ts";
import { type Graph, leavesOf } from "./graph.ts";
import type { Op } from "./op.ts";
import { schedule } from "./schedule.ts";
import { isOp, type Node, type Tensor } from "./tensor.ts";

export interface GraphCost {
  /** Numbers in all parameters. */
  readonly parameters: number;
  /** Floating-point operations of matrix products and convolutions; a multiplication with its addition counts two. */
  readonly flops: number;
  /** Nodes that are computed. */
  readonly nodes: number;
  /** Bytes alive at the worst moment, if nodes run as scheduled and each tensor is freed after its last use. */
  readonly peakBytes: number;
}

/** Rows of a named size. */
export type RowCount = (name: string) => number;

/** `rows` gives the sizes that are known only when the graph runs. */
export function graphCost(graph: Graph, rows: RowCount): GraphCost {
  const nodes = schedule(graph);
  const parameters = [...leavesOf(nodes, "parameter").values()];
  const bytes = (x: Tensor) => sizeOf(numbers(x.shape, rows)) * bytesPerElement(x.dtype);
  return {
    parameters: parameters.reduce((total, { attributes }) => total + sizeOf(attributes.shape), 0),
    flops: nodes.reduce((total, node) => total + flopsOf(node, rows), 0),
    nodes: nodes.filter(({ op }) => !LEAVES.has(op)).length,
    peakBytes: peak(nodes, Object.values(graph.outputs), bytes),
  };
}

const LEAVES: ReadonlySet<Op> = new Set<Op>(["input", "parameter", "constant"]);
/** These give their operand's own memory another shape or name. */
const VIEWS: ReadonlySet<Op> = new Set<Op>(["reshape", "stopGradient", "controlDependency"]);

const numbers = (shape: Shape, rows: RowCount): number[] =>
  shape.map((dim: Dim) => (typeof dim === "number" ? dim : rows(dim.name)));

/** Two operations for each multiplication of the products; elementwise work is not counted. */
function flopsOf(node: Node, rows: RowCount): number {
  const size = (x: Tensor) => sizeOf(numbers(x.shape, rows));
  const last = (x: Tensor, axis: number) => numbers(x.shape, rows).at(axis)!;
  const [a, b] = node.inputs as readonly [Tensor, Tensor];
  const out = node.outputs[0]!;
  if (isOp(node, "matmul")) return 2 * size(out) * last(a, node.attributes.transposeA ? -2 : -1);
  switch (node.op) {
    case "linear":
      return 2 * size(out) * last(b, -1);
    case "quantizedLinear":
      return 2 * size(out) * last(a, -1);
    case "linearWeightGradient":
      return 2 * size(a) * last(b, -1);
    case "attention":
      return 4 * size(out) * last(b, -2);
    case "conv2d":
      return (2 * size(out) * size(b)) / last(b, 0);
    case "conv2dInputGradient":
      return (2 * size(a) * size(b)) / last(b, 0);
    case "conv2dWeightGradient":
      return (2 * size(a) * size(out)) / last(out, 0);
    default:
      return 0;
  }
}

/** A view keeps its operand alive: both count as the node that holds the memory. */
function peak(nodes: readonly Node[], results: readonly Tensor[], bytes: (x: Tensor) => number): number {
  const holder = new Map<Node, Node>();
  for (const node of nodes) {
    const source = node.inputs[0]?.node;
    holder.set(node, VIEWS.has(node.op) && source ? holder.get(source)! : node);
  }
  const lastUse = new Map<Node, number>();
  nodes.forEach((node, at) => {
    for (const x of [node, ...node.inputs.map((input) => input.node)]) lastUse.set(holder.get(x)!, at);
  });
  for (const { node } of results) lastUse.set(holder.get(node)!, nodes.length);
  const freed = new Map<number, number>();
  let [alive, most] = [0, 0];
  nodes.forEach((node, at) => {
    if (!LEAVES.has(node.op) && holder.get(node) === node) {
      const size = node.outputs.reduce((sum, x) => sum + bytes(x), 0);
      alive += size;
      freed.set(lastUse.get(node)!, (freed.get(lastUse.get(node)!) ?? 0) + size);
    }
    most = Math.max(most, alive);
    alive -= freed.get(at) ?? 0;
  });
  return most;
}
