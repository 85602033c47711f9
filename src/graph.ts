/** `tinyfusion/graph`: symbolic tensors, their operations (`ops`), gradients, rewrites and costs. Runs in a browser. */

export * as ops from "./graph/build.ts";
export type { Shape } from "./graph/dim.ts";
export { symbolicDim } from "./graph/dim.ts";
export { gradient } from "./graph/gradient.ts";
export type { Graph } from "./graph/graph.ts";
export { graphCost } from "./graph/graph-cost.ts";
export { printGraph } from "./graph/print.ts";
export { rewrite } from "./graph/rewrite.ts";
export { ShapeError, type Tensor } from "./graph/tensor.ts";
