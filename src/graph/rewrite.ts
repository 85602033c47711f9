/** Rebuilding graphs: replace some nodes, keep the rest, merge what is equal. */
import type { Graph } from "./graph.ts";
import { nodesOf } from "./graph.ts";
import type { Op } from "./op.ts";
import { apply, type Node, type Tensor } from "./tensor.ts";

/** New outputs for a node whose operands are already rewritten, or undefined to keep it. */
export type Rule = (node: Node, inputs: readonly Tensor[]) => readonly Tensor[] | undefined;

/** Applies `rule` to every node below the tensors, operands first. Nodes whose operands did not change stay the same objects. */
export function rewrite(tensors: readonly Tensor[], rule: Rule): Tensor[] {
  const replaced = new Map<Node, readonly Tensor[]>();
  const now = (x: Tensor): Tensor => replaced.get(x.node)?.[x.output] ?? x;
  for (const node of nodesOf(tensors)) {
    const inputs = node.inputs.map(now);
    const outputs = rule(node, inputs);
    if (outputs) replaced.set(node, outputs);
    else if (inputs.some((x, i) => x !== node.inputs[i])) replaced.set(node, applySame(node, inputs).outputs);
  }
  return tensors.map(now);
}

/** The node's operation on other operands. */
export function applySame(node: Node, inputs: readonly Tensor[]): Node {
  return apply<Op>(node.op, inputs, node.attributes);
}

/** `rewrite` for a whole graph. */
export function rewriteGraph(graph: Graph, rule: Rule): Graph {
  const names = Object.keys(graph.outputs);
  const tensors = rewrite(Object.values(graph.outputs), rule);
  return { outputs: Object.fromEntries(names.map((name, i) => [name, tensors[i]!])) };
}

/**
 * Computes equal expressions once. Nodes are equal if operation, attributes and operands are; since `after` makes its
 * result a new operand, nothing is merged across it.
 */
export function mergeCommonSubexpressions(graph: Graph): Graph {
  const known = new Map<string, Node>();
  const values = new Map<object, number>();
  return rewriteGraph(graph, (node, inputs) => {
    const key = keyOf(node, inputs, values);
    const same = known.get(key);
    if (same) return same.outputs;
    const kept = inputs.every((x, i) => x === node.inputs[i]) ? node : applySame(node, inputs);
    known.set(key, kept);
    return kept.outputs;
  });
}

/** Small constants are equal by content, large ones by identity. */
function keyOf(node: Node, inputs: readonly Tensor[], values: Map<object, number>): string {
  const operands = inputs.map((x) => `${x.node.id}.${x.output}`).join(",");
  const attributes = JSON.stringify(node.attributes, (key, value) => {
    if (typeof value === "number" && !Number.isFinite(value)) return String(value); // JSON has one null for all of them
    if (key !== "value" || typeof value !== "object") return value;
    if (value.size <= 16) return `${value.dtype}[${value.shape}]${value.data.join(",")}`;
    if (!values.has(value)) values.set(value, values.size);
    return `#${values.get(value)}`;
  });
  return `${node.op}(${operands})${attributes}`;
}
