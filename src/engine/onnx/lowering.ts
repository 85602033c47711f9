/** From a graph to an ONNX model, by a table with one rule for each operation. */
import type { CompositeOp } from "../../graph/expand.ts";
import { expand } from "../../graph/expand.ts";
import { type Graph, leavesOf, nodesOf, symbolSources } from "../../graph/graph.ts";
import type { Op, OpAttributes } from "../../graph/op.ts";
import { schedule } from "../../graph/schedule.ts";
import { simplify } from "../../graph/simplify.ts";
import { isOp, type Node, type Tensor } from "../../graph/tensor.ts";
import { Emitter } from "./emitter.ts";
import {
  type Constants,
  type ConstantWeight,
  type OnnxModel,
  type OnnxNode,
  type OnnxValue,
  typeCodes,
} from "./model.ts";

/**
 * Names of the operands → names of the outputs. `nameOf` names the operands of operands, for a rule that computes an
 * operand's operation itself: what nobody reads then is left out.
 */
export type LoweringRule<K extends Op> = (
  e: Emitter,
  operands: readonly string[],
  attributes: OpAttributes[K],
  node: Node<K>,
  nameOf: (x: Tensor) => string,
) => string | readonly string[];

type Leaf = "input" | "parameter";

/** How one execution provider computes each operation; composite ones may be expanded first instead. */
export interface Lowering {
  readonly rules: { readonly [K in Exclude<Op, Leaf>]: LoweringRule<K> };
  readonly expands: readonly CompositeOp[];
}

/** A lowered graph; `inputs` lists what a run must be fed. */
export interface LoweredGraph {
  readonly model: OnnxModel;
  readonly inputs: readonly OnnxValue[];
}

/** The graph whose nodes a provider runs: composite operations expanded, nothing computed twice. */
export const simplified = (graph: Graph, { expands }: Lowering): Graph => simplify(expand(simplify(graph), expands));

/** Lowers a graph: expands, simplifies, then applies the provider's rules in the order in which nodes should run. */
export function lower(graph: Graph, lowering: Lowering, constants: Constants = new Map()): LoweredGraph {
  const simple = simplified(graph, lowering);
  const nodes = nodesOf(Object.values(simple.outputs));
  const emitter = new Emitter(symbolNames(nodes));
  const names = new Map<Node, readonly string[]>();
  const float16 = float16Names(constants);
  const nameOf = (x: Tensor): string => {
    const name = names.get(x.node)![x.output]!;
    return float16.has(name) ? emitter.node("Cast", [name], { to: typeCodes.float32 }) : name;
  };
  for (const [name, node] of leavesOf(nodes, "input")) names.set(node, [name]);
  for (const node of schedule(simple)) {
    if (isLeaf(node)) {
      names.set(node, [(node.attributes as { name: string }).name]);
      continue;
    }
    const rule = lowering.rules[node.op as Exclude<Op, Leaf>] as LoweringRule<Op>;
    const result = rule(emitter, node.inputs.map(nameOf), node.attributes, node, nameOf);
    names.set(node, typeof result === "string" ? [result] : result);
  }
  const inputs = fedValues(nodes, constants);
  const outputs = Object.entries(simple.outputs).map(([name, x]) => ({ name, dtype: x.dtype, shape: x.shape }));
  const sources = Object.entries(simple.outputs).map(([name, x]) => [name, nameOf(x)] as const);
  const withoutShapes = symbolSources(nodes).size > MANY_SYMBOLS || nodes.some((node) => isOp(node, "bernoulli"));
  const initializers = [...emitter.initializers, ...constants.values()];
  return {
    model: {
      nodes: withOutputNames(readNodes(emitter.nodes, sources), sources),
      inputs,
      outputs,
      initializers,
      withoutShapes,
    },
    inputs,
  };
}

/** Constants stored in 16 bits are upcast at each use: an upcast copy lives only as long as the node that reads it. */
function float16Names(constants: Constants): ReadonlySet<string> {
  const dtypeOf = (x: ConstantWeight) => ("value" in x ? x.value.dtype : x.dtype);
  return new Set([...constants.values()].filter((x) => /float16$/.test(dtypeOf(x))).map(({ name }) => name));
}

/** The nodes that an output depends on. */
function readNodes(nodes: readonly OnnxNode[], outputs: readonly (readonly [string, string])[]): OnnxNode[] {
  const read = new Set(outputs.map(([, source]) => source));
  const kept = nodes.toReversed().filter((node) => {
    const isRead = node.outputs.some((name) => read.has(name));
    if (isRead) for (const name of node.inputs) read.add(name);
    return isRead;
  });
  return kept.reverse();
}

/** Gives computed values the names of the outputs they are; a value that is fed or is two outputs needs a copy. */
function withOutputNames(nodes: readonly OnnxNode[], outputs: readonly (readonly [string, string])[]): OnnxNode[] {
  const computed = new Set(nodes.flatMap((node) => node.outputs));
  const renamed = new Map<string, string>();
  const copies: OnnxNode[] = [];
  for (const [name, source] of outputs) {
    if (computed.has(source) && !renamed.has(source)) renamed.set(source, name);
    else copies.push({ opType: "Identity", inputs: [source], outputs: [name], attributes: {}, domain: "" });
  }
  const now = (name: string): string => renamed.get(name) ?? name;
  return [...nodes, ...copies].map((node) => ({
    ...node,
    inputs: node.inputs.map(now),
    outputs: node.outputs.map(now),
  }));
}

/** A symbolic batch is one symbol; routed graphs have three for each block. (Dropout masks are many small nodes.) */
const MANY_SYMBOLS = 8;

const isLeaf = (node: Node): boolean => node.op === "input" || node.op === "parameter";

function symbolNames(nodes: readonly Node[]): Map<string, { name: string; axis: number }> {
  const sources = [...symbolSources(nodes)];
  return new Map(sources.map(([symbol, { input, axis }]) => [symbol, { name: input.attributes.name, axis }]));
}

function fedValues(nodes: readonly Node[], constants: Constants): OnnxValue[] {
  const inputs = [...leavesOf(nodes, "input").values()].map(({ attributes }) => attributes);
  const weights = [...leavesOf(nodes, "parameter").values()].map(({ attributes }) => attributes);
  const fed = weights.filter(({ name }) => !constants.has(name));
  return [...inputs, ...fed];
}
