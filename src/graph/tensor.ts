/** Symbolic tensors: nodes of a pure expression graph, checked when they are made. */
import { type Dim, printShape } from "./dim.ts";
import type { Op, OpAttributes, TensorType } from "./op.ts";
import { shapeRules } from "./shape-rules.ts";

/** One output of one node. */
export interface Tensor extends TensorType {
  readonly node: Node;
  readonly output: number;
}

/** An operation applied to tensors. Ids grow with creation, so an input's id is always below its user's. */
export interface Node<K extends Op = Op> {
  readonly id: number;
  readonly op: K;
  readonly attributes: OpAttributes[K];
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
}

/** A shape or type that an operation refuses; names the operation, the operands and the nearest weight. */
export class ShapeError extends Error {
  override readonly name = "ShapeError";
}

let created = 0;

/**
 * Applies an operation.
 * @throws ShapeError if the operands do not fit it.
 */
export function apply<K extends Op>(op: K, inputs: readonly Tensor[], attributes: OpAttributes[K]): Node<K> {
  const types = shapeRules[op](inputs, attributes);
  if (typeof types === "string") {
    const found = inputs.map((x) => `${x.dtype}${printShape(x.shape)}`).join(", ");
    const where = nearestWeight(inputs);
    throw new ShapeError(`${where ? `${where} › ` : ""}${op}: ${types}; found ${found || "no operands"}`);
  }
  const outputs: Tensor[] = [];
  const node: Node<K> = { id: created++, op, attributes, inputs, outputs };
  types.forEach((type, output) => {
    outputs.push({ ...type, node: node as unknown as Node, output });
  });
  return node;
}

/** True if the node is of operation `op`; narrows its attributes. */
export function isOp<K extends Op>(node: Node, op: K): node is Node<K> & Node {
  return node.op === op;
}

/** The name of the weight closest above the tensors: tells in which layer an error happened. */
function nearestWeight(tensors: readonly Tensor[]): string | undefined {
  let frontier = tensors.map((x) => x.node);
  const seen = new Set<Node>();
  while (frontier.length > 0) {
    const weights = frontier.filter((node) => isOp(node, "parameter"));
    const last = weights.at(-1);
    if (last && isOp(last, "parameter")) return last.attributes.name;
    const next: Node[] = [];
    for (const node of frontier) {
      for (const input of node.inputs) {
        if (!seen.has(input.node)) {
          seen.add(input.node);
          next.push(input.node);
        }
      }
    }
    frontier = next;
  }
  return undefined;
}

/** The size of axis `axis`, counted from the end if negative; it must be a number. */
export function fixedDim(x: Tensor, axis: number): number {
  const dim = dimAt(x, axis);
  if (typeof dim !== "number") throw new ShapeError(`axis ${axis} of ${printShape(x.shape)} must have a fixed size`);
  return dim;
}

/** The size of axis `axis`, counted from the end if negative. */
export function dimAt(x: Tensor, axis: number): Dim {
  const dim = x.shape.at(axis);
  if (dim === undefined) throw new ShapeError(`${printShape(x.shape)} has no axis ${axis}`);
  return dim;
}
