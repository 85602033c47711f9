/** The reference interpreter: every operation as a plain loop in float64, the judge of all gradients and lowerings. */
import type { NDArray } from "../../src/array/ndarray.ts";
import { type Dim, printShape, type Shape } from "../../src/graph/dim.ts";
import { type Graph, nodesOf, symbolSources } from "../../src/graph/graph.ts";
import type { Op } from "../../src/graph/op.ts";
import type { Node } from "../../src/graph/tensor.ts";
import { elementwise } from "./elementwise.ts";
import { images } from "./images.ts";
import { masks } from "./masks.ts";
import { normalisation } from "./normalisation.ts";
import { products } from "./products.ts";
import { reductionsAndLayout } from "./reductions-and-layout.ts";
import { rows } from "./rows.ts";
import { type ReferenceRule, type ReferenceRules, tabulate, type Value } from "./value.ts";

export type { Value } from "./value.ts";

const leaves: ReferenceRules<"input" | "parameter" | "constant" | "fill"> = {
  input: (_, { name }, { feeds }) => [fed(feeds, name)],
  parameter: (_, { name }, { feeds }) => [fed(feeds, name)],
  constant: (_, { value }) => [toValue(value)],
  fill: (_, { value, shape }, { sized }) => [tabulate(sized(shape), () => value)],
};

/** The reference rules, one for each operation. */
const rules: ReferenceRules<Op> = {
  ...leaves,
  ...elementwise,
  ...reductionsAndLayout,
  ...products,
  ...normalisation,
  ...images,
  ...rows,
  ...masks,
};

/** The array's numbers in float64. */
export function toValue({ shape, data }: NDArray): Value {
  return { shape, data: Float64Array.from(data as ArrayLike<number>, Number) };
}

function fed(feeds: Readonly<Record<string, Value>>, name: string): Value {
  const value = feeds[name];
  if (!value) throw new Error(`${name} was not fed`);
  return value;
}

/**
 * The values of all outputs. Tensors of every element type are float64 here, and each one is checked against the shape
 * that the graph announced.
 */
export function evaluate(graph: Graph, feeds: Readonly<Record<string, Value>>): Record<string, Value> {
  const nodes = nodesOf(Object.values(graph.outputs));
  const sized = sizesOf(nodes, feeds);
  const values = new Map<Node, readonly Value[]>();
  for (const node of nodes) {
    const inputs = node.inputs.map((x) => values.get(x.node)![x.output]!);
    const rule = rules[node.op] as ReferenceRule<Op>;
    const results = rule(inputs, node.attributes, { node, feeds, sized });
    node.outputs.forEach((y, i) => {
      checkShape(node.op, sized(y.shape), results[i]);
    });
    values.set(node, results);
  }
  return Object.fromEntries(Object.entries(graph.outputs).map(([name, y]) => [name, values.get(y.node)![y.output]!]));
}

function checkShape(op: Op, announced: readonly number[], found: Value | undefined): void {
  const count = announced.reduce((product, dim) => product * dim, 1);
  if (found?.shape.join() === announced.join() && found.data.length === count) return;
  throw new Error(`${op}: announced [${announced}], computed [${found?.shape}] with ${found?.data.length} elements`);
}

/** Reads the symbols of this run from the inputs that carry them. */
function sizesOf(nodes: readonly Node[], feeds: Readonly<Record<string, Value>>): (shape: Shape) => number[] {
  const sources = symbolSources(nodes);
  const size = (dim: Dim, shape: Shape): number => {
    if (typeof dim === "number") return dim;
    const source = sources.get(dim.name);
    if (!source) throw new Error(`no input carries ${dim.name} of ${printShape(shape)}`);
    return fed(feeds, source.input.attributes.name).shape[source.axis]!;
  };
  return (shape) => shape.map((dim) => size(dim, shape));
}
