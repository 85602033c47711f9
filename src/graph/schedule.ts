/** In which order to compute a graph, so that little has to be kept at a time. */
import { type Graph, nodesOf } from "./graph.ts";
import type { Node } from "./tensor.ts";

/**
 * All nodes, inputs before users. What is an output is computed as soon as it can be: gradients of the last layers come
 * before the backward pass goes on to the first ones, so that what they need is free again. Of a node's operands the
 * one at the end of the longest chain comes first; the others then have not long to wait.
 */
export function schedule({ outputs }: Graph): Node[] {
  const nodes = nodesOf(Object.values(outputs));
  const level = new Map<Node, number>();
  for (const node of nodes) level.set(node, 1 + Math.max(-1, ...node.inputs.map((x) => level.get(x.node)!)));
  const byLevel = (a: Node, b: Node) => level.get(a)! - level.get(b)! || a.id - b.id;
  const ends = [...new Set(Object.values(outputs).map(({ node }) => node))].sort(byLevel);
  const order: Node[] = [];
  const visited = new Set<Node>();
  for (const end of ends) {
    const stack = [{ node: end, isReady: false }];
    for (let top = stack.pop(); top; top = stack.pop()) {
      if (top.isReady) order.push(top.node);
      else if (!visited.has(top.node)) {
        visited.add(top.node);
        stack.push({ node: top.node, isReady: true });
        const operands = new Set(top.node.inputs.map((x) => x.node));
        for (const node of [...operands].sort(byLevel)) stack.push({ node, isReady: false });
      }
    }
  }
  return order;
}
