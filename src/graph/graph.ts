/** A graph: named outputs and everything they are computed from. */
import type { Dim } from "./dim.ts";
import { isOp, type Node, ShapeError, type Tensor } from "./tensor.ts";

export interface Graph {
  readonly outputs: Readonly<Record<string, Tensor>>;
}

/** All nodes below the outputs, inputs before users, in order of creation. */
export function nodesOf(outputs: Iterable<Tensor>): Node[] {
  const found = new Set<Node>();
  const stack = Array.from(outputs, (x) => x.node);
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (found.has(node)) continue;
    found.add(node);
    for (const x of node.inputs) stack.push(x.node);
  }
  return [...found].sort((a, b) => a.id - b.id);
}

/** What a graph is fed: inputs or parameters by name. */
export type Leaves<K extends "input" | "parameter"> = ReadonlyMap<string, Node<K>>;

/**
 * The inputs (or parameters) of a graph by name.
 * @throws ShapeError if one name stands for two different shapes.
 */
export function leavesOf<K extends "input" | "parameter">(nodes: readonly Node[], op: K): Leaves<K> {
  const leaves = new Map<string, Node<K>>();
  for (const node of nodes) {
    if (!isOp(node, op)) continue;
    const { name } = node.attributes as { name: string };
    const other = leaves.get(name);
    if (other && JSON.stringify(other.attributes) !== JSON.stringify(node.attributes)) {
      throw new ShapeError(`${op} ${name} is used with two shapes`);
    }
    if (!other) leaves.set(name, node);
  }
  return leaves;
}

/** The graph input that carries each symbol first, and the axis where it stands. */
export function symbolSources(nodes: readonly Node[]): Map<string, { input: Node<"input">; axis: number; dim: Dim }> {
  const sources = new Map<string, { input: Node<"input">; axis: number; dim: Dim }>();
  for (const input of leavesOf(nodes, "input").values()) {
    input.attributes.shape.forEach((dim, axis) => {
      if (typeof dim !== "number" && !sources.has(dim.name)) sources.set(dim.name, { input, axis, dim });
    });
  }
  return sources;
}
