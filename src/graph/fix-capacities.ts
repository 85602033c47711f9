/** Graphs of fixed shapes, for compilers that want them: every size with a capacity becomes that number. */
import { bernoulli, broadcast, concat, fill, gather, input, pad, reshape, scatterAdd, slice } from "./build.ts";
import { type Dim, printDim, type Shape } from "./dim.ts";
import { type Graph, nodesOf } from "./graph.ts";
import type { Op } from "./op.ts";
import { rewriteGraph } from "./rewrite.ts";
import { type Node, ShapeError, type Tensor } from "./tensor.ts";

/** The capacity of each symbol that has one. */
export type Capacities = ReadonlyMap<string, number>;

/**
 * The graph with capacities in place of their symbols; `feedPadder` makes its feeds. Where rows are picked, those that
 * only fill up to a capacity come from a row of zeros behind the last one; where rows are merged they are left out. So
 * they carry zeros forward and no gradient backward, whether the gradient is taken before this rewrite or after it.
 * A sum straight over such an axis must weigh its rows, and what is not finite for a row of zeros stays so.
 * @throws ShapeError if a symbol has two capacities, or if only some sizes of a route have one.
 */
export function fixCapacities(graph: Graph): Graph {
  const capacities = capacitiesOf(nodesOf(Object.values(graph.outputs)));
  if (capacities.size === 0) return graph;
  return rewriteGraph(graph, (node, inputs) => {
    const rule = rules[node.op] as FixedRule<Op> | undefined;
    return rule?.(node, inputs, capacities);
  });
}

/** The outputs for operands that are fixed already, or undefined if the operation stays as it is. */
type FixedRule<K extends Op> = (
  node: Node<K>,
  inputs: readonly Tensor[],
  capacities: Capacities,
) => readonly Tensor[] | undefined;

/** The operations that name sizes or rows; all others follow their operands. */
const rules: { readonly [K in Op]?: FixedRule<K> } = {
  input: ({ attributes: { name, shape, dtype } }, _, capacities) =>
    hasCapacity(shape, capacities) ? [input(name, fixedShape(shape, capacities), dtype)] : undefined,
  fill: ({ attributes: { value, shape } }, _, capacities) => [fill(value, fixedShape(shape, capacities))],
  reshape: ({ attributes }, [x], capacities) => [reshape(x!, fixedShape(attributes.shape, capacities))],
  broadcast: ({ attributes }, [x], capacities) => [broadcast(x!, fixedShape(attributes.shape, capacities))],
  // A capacity behind the second axis changes which number of its row an element is, so it draws other bits.
  bernoulli: ({ attributes: { probability, stream, shape } }, [key], capacities) => [
    bernoulli(key!, fixedShape(shape, capacities), probability, stream),
  ],
  gather: (node, [x, index], capacities) =>
    hasCapacity(node.inputs[1]!.shape, capacities) ? [gather(withZeroRow(x!), index!)] : undefined,
  scatterAdd: (node, [index, updates], capacities) => {
    const rows = fixedSize(node.attributes.rows, capacities);
    if (!hasCapacity(node.inputs[0]!.shape, capacities)) return [scatterAdd(index!, updates!, rows)];
    if (typeof rows !== "number") throw new ShapeError(`scatterAdd: ${printDim(rows)} rows need a capacity too`);
    return [slice(scatterAdd(index!, updates!, rows + 1), 0, 0, rows)];
  },
  partitionRows: (node, [x, kept, dropped], capacities) => {
    if (!isRouteFixed(node, capacities)) return undefined;
    const rows = withZeroRow(x!);
    return [gather(rows, kept!), gather(rows, dropped!)];
  },
  mergeRows: (node, [a, b, , , inverse], capacities) => {
    if (!isRouteFixed(node, capacities)) return undefined;
    const rows = concat([a!, b!], 0);
    return [gather(hasCapacity(node.inputs[4]!.shape, capacities) ? withZeroRow(rows) : rows, inverse!)];
  },
};

const withZeroRow = (x: Tensor): Tensor => pad(x, 0, 0, 1);

/** True if the sizes of kept and dropped rows have capacities, false if neither has. */
export function isRouteFixed({ inputs }: Node, capacities: Capacities): boolean {
  const [kept, dropped, inverse] = inputs.slice(-3).map(({ shape }) => shape) as [Shape, Shape, Shape];
  const given = [kept, dropped].map((shape) => hasCapacity(shape, capacities));
  if (given[0] !== given[1] || (!given[0] && hasCapacity(inverse, capacities))) {
    const sizes = [kept, dropped, inverse].map((shape) => printDim(shape[0]!));
    throw new ShapeError(`the sizes ${sizes.join(", ")} of a route: only some of them have a capacity`);
  }
  return given[0]!;
}

export function hasCapacity(shape: Shape, capacities: Capacities): boolean {
  return shape.some((dim) => typeof dim !== "number" && capacities.has(dim.name));
}

/** The capacity in place of a symbol that has one. */
export function fixedSize(dim: Dim, capacities: Capacities): Dim {
  return typeof dim === "number" ? dim : (capacities.get(dim.name) ?? dim);
}

const fixedShape = (shape: Shape, capacities: Capacities): Shape => shape.map((dim) => fixedSize(dim, capacities));

/** The capacities in a graph, by symbol. @throws ShapeError if a symbol has two. */
export function capacitiesOf(nodes: readonly Node[]): Capacities {
  const capacities = new Map<string, number>();
  for (const dim of nodes.flatMap(({ outputs }) => outputs.flatMap(({ shape }) => shape))) {
    if (typeof dim === "number" || dim.capacity === undefined) continue;
    const known = capacities.get(dim.name);
    if (known !== undefined && known !== dim.capacity) {
      throw new ShapeError(`the size ${dim.name} has two capacities, ${known} and ${dim.capacity}`);
    }
    capacities.set(dim.name, dim.capacity);
  }
  return capacities;
}
