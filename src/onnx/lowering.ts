/** From a graph to an ONNX model, by a table with one rule for each operation. */
import type { CompositeOp } from "../graph/expand.ts";
import { expand } from "../graph/expand.ts";
import { type Graph, leavesOf, nodesOf, symbolSources } from "../graph/graph.ts";
import type { Op, OpAttributes } from "../graph/op.ts";
import { simplify } from "../graph/simplify.ts";
import type { Node, Tensor } from "../graph/tensor.ts";
import { Emitter } from "./emitter.ts";
import type { OnnxInitializer, OnnxModel, OnnxValue } from "./model.ts";

/** Names of the operands → names of the outputs. */
export type LoweringRule<K extends Op> = (
  e: Emitter,
  operands: readonly string[],
  attributes: OpAttributes[K],
  node: Node<K>,
) => string | readonly string[];

type Leaf = "input" | "parameter";

/** How one execution provider computes each operation; composite ones may be expanded first instead. */
export interface Lowering {
  readonly rules: { readonly [K in Exclude<Op, Leaf>]: LoweringRule<K> };
  readonly expands: readonly CompositeOp[];
}

/** Weights that are part of the model instead of being fed: their values, or where they lie in a file. */
export type FrozenWeights = ReadonlyMap<string, OnnxInitializer>;

/** A lowered graph; `inputs` lists what a run must be fed. */
export interface LoweredGraph {
  readonly model: OnnxModel;
  readonly inputs: readonly OnnxValue[];
}

/** Lowers a graph: expands, simplifies, then applies the provider's rules in order of creation. */
export function lower(graph: Graph, lowering: Lowering, frozen: FrozenWeights = new Map()): LoweredGraph {
  const simple = simplify(expand(simplify(graph), lowering.expands));
  const nodes = nodesOf(Object.values(simple.outputs));
  const emitter = new Emitter(symbolNames(nodes));
  const names = new Map<Node, readonly string[]>();
  const nameOf = (x: Tensor): string => names.get(x.node)![x.output]!;
  for (const [name, node] of leavesOf(nodes, "input")) names.set(node, [name]);
  for (const node of nodes) {
    if (isLeaf(node)) {
      names.set(node, [(node.attributes as { name: string }).name]);
      continue;
    }
    const rule = lowering.rules[node.op as Exclude<Op, Leaf>] as LoweringRule<Op>;
    const result = rule(emitter, node.inputs.map(nameOf), node.attributes, node);
    names.set(node, typeof result === "string" ? [result] : result);
  }
  const outputs = Object.entries(simple.outputs).map(([name, x]) => outputValue(emitter, name, x, nameOf(x)));
  const inputs = fedValues(nodes, frozen);
  const initializers = [...emitter.initializers, ...frozen.values()];
  return { model: { nodes: emitter.nodes, inputs, outputs, initializers }, inputs };
}

const isLeaf = (node: Node): boolean => node.op === "input" || node.op === "parameter";

function symbolNames(nodes: readonly Node[]): Map<string, { name: string; axis: number }> {
  const sources = [...symbolSources(nodes)];
  return new Map(sources.map(([symbol, { input, axis }]) => [symbol, { name: input.attributes.name, axis }]));
}

function outputValue(emitter: Emitter, name: string, x: Tensor, from: string): OnnxValue {
  emitter.nodes.push({ opType: "Identity", inputs: [from], outputs: [name], attributes: {}, domain: "" });
  return { name, dtype: x.dtype, shape: x.shape };
}

function fedValues(nodes: readonly Node[], frozen: FrozenWeights): OnnxValue[] {
  const inputs = [...leavesOf(nodes, "input").values()].map(({ attributes }) => attributes);
  const weights = [...leavesOf(nodes, "parameter").values()].map(({ attributes }) => attributes);
  const fed = weights.filter(({ name }) => !frozen.has(name));
  return [...inputs, ...fed.map(({ name, shape }) => ({ name, dtype: "float32" as const, shape }))];
}
