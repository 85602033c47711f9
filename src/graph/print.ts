/** Graphs as text, one line per node: for snapshots and for people. */
import { printShape } from "./dim.ts";
import { type Graph, nodesOf } from "./graph.ts";
import type { Op, OpAttributes } from "./op.ts";
import type { Node, Tensor } from "./tensor.ts";

type Printer<K extends Op> = (attributes: OpAttributes[K]) => string;

const nothing = () => "";
const json = (attributes: object) => JSON.stringify(attributes).replaceAll('"', "").slice(1, -1);
const name = ({ name }: { name: string }) => name;

/** How the attributes of every operation are printed. */
const printers: { readonly [K in Op]: Printer<K> } = {
  input: name,
  parameter: name,
  constant: ({ value }) => (value.size <= 4 ? value.data.join(" ") : `${value.size} numbers`),
  fill: ({ value }) => String(value),
  neg: nothing,
  exp: nothing,
  log: nothing,
  sqrt: nothing,
  abs: nothing,
  cos: nothing,
  sin: nothing,
  tanh: nothing,
  sigmoid: nothing,
  erf: nothing,
  relu: nothing,
  silu: nothing,
  geluTanh: nothing,
  gelu: nothing,
  cast: ({ to }) => to,
  add: nothing,
  sub: nothing,
  mul: nothing,
  div: nothing,
  maximum: nothing,
  minimum: nothing,
  less: nothing,
  equal: nothing,
  where: nothing,
  sum: ({ axes }) => `axes:${axes}`,
  max: ({ axes }) => `axes:${axes}`,
  reshape: nothing,
  transpose: ({ permutation }) => String(permutation),
  broadcast: nothing,
  concat: ({ axis }) => `axis:${axis}`,
  split: ({ axis }) => `axis:${axis}`,
  slice: json,
  pad: json,
  matmul: ({ transposeA, transposeB, scale }) =>
    `${transposeA ? "Aᵀ" : "A"}${transposeB ? "Bᵀ" : "B"}${scale === 1 ? "" : `·${scale}`}`,
  linear: ({ scale }) => (scale === 1 ? "" : `·${scale}`),
  linearWeightGradient: ({ scale }) => (scale === 1 ? "" : `·${scale}`),
  quantizeRows: nothing,
  quantizeWeight: nothing,
  quantizedLinear: ({ scale }) => (scale === 1 ? "" : `·${scale}`),
  attention: ({ scale }) => `·${scale}`,
  softmax: nothing,
  layerNorm: ({ epsilon }) => `ε:${epsilon}`,
  conv2d: json,
  conv2dInputGradient: json,
  conv2dWeightGradient: json,
  maxPool2d: json,
  averagePool2d: json,
  gather: nothing,
  scatterAdd: nothing,
  partitionRows: nothing,
  mergeRows: nothing,
  bernoulli: ({ probability, stream }) => `p:${probability} stream:${stream}`,
  stopGradient: nothing,
  controlDependency: nothing,
};

/** The graph, one line per node: `%3 = linear(%0, blocks.0.mlp.fc1.weight) [N, 16, 128]`. */
export function printGraph(graph: Graph): string {
  const nodes = nodesOf(Object.values(graph.outputs));
  const numbers = new Map(nodes.filter((node) => node.inputs.length > 0).map((node, i) => [node, i]));
  const reference = (x: Tensor): string => {
    const number = numbers.get(x.node);
    if (number === undefined) return `${x.node.op === "parameter" ? "" : `${x.node.op} `}${printAttributes(x.node)}`;
    return `%${number}${x.node.outputs.length > 1 ? `.${x.output}` : ""}`;
  };
  const lines = nodes.filter((node) => numbers.has(node)).map((node) => printNode(node, numbers.get(node)!, reference));
  for (const [label, x] of Object.entries(graph.outputs)) lines.push(`${label}: ${reference(x)}`);
  return lines.join("\n");
}

function printAttributes(node: Node): string {
  return (printers[node.op] as Printer<Op>)(node.attributes);
}

function printNode(node: Node, number: number, reference: (x: Tensor) => string): string {
  const attributes = printAttributes(node);
  const shapes = node.outputs.map((y) => printShape(y.shape)).join(" ");
  return `%${number} = ${node.op}${attributes && `<${attributes}>`}(${node.inputs.map(reference).join(", ")}) ${shapes}`;
}
