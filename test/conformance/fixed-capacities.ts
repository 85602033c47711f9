/** Capacities for a routed graph whose sizes are known only when it runs. */

import type { NamedArrays } from "../../src/engine/engine.ts";
import { input } from "../../src/graph/build.ts";
import { symbolicDim } from "../../src/graph/dim.ts";
import type { Graph } from "../../src/graph/graph.ts";
import { rewriteGraph } from "../../src/graph/rewrite.ts";
import { isOp } from "../../src/graph/tensor.ts";

/** Gives every named number of rows room for one more than these feeds have, or for `least`. */
export function withCapacities(graph: Graph, feeds: NamedArrays, least: number): Graph {
  return rewriteGraph(graph, (node) => {
    if (!isOp(node, "input")) return undefined;
    const { name, shape, dtype } = node.attributes;
    const [rows, ...rest] = shape;
    if (rows === undefined || typeof rows === "number") return undefined;
    const capacity = Math.max(least, feeds[name]!.shape[0]! + 1);
    return [input(name, [symbolicDim(rows.name, capacity), ...rest], dtype)];
  });
}
