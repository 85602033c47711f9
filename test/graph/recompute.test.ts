/** Recomputation changes when numbers are computed, never which. */
import { describe, expect, it } from "vitest";
import * as g from "../../src/graph/build.ts";
import { gradient } from "../../src/graph/gradient.ts";
import { type Graph, nodesOf } from "../../src/graph/graph.ts";
import { recompute, type Segment } from "../../src/graph/recompute.ts";
import { simplify } from "../../src/graph/simplify.ts";
import type { Node, Tensor } from "../../src/graph/tensor.ts";
import { evaluate, type Value } from "../reference/evaluate.ts";

const x = g.input("x", [3]);
const w = g.parameter("w", [3]);
const condition = g.input("condition", [3]);
const list = (...numbers: number[]): Value => ({ shape: [numbers.length], data: Float64Array.from(numbers) });
const feeds = { x: list(0.5, -1.25, 2), w: list(1, 2, -0.5), condition: list(0.1, 0.2, 0.3) };

/** Three residual blocks with something inside that backward needs, and a modulation that does not depend on the state. */
function network(): { loss: Tensor; segments: Segment[]; states: Tensor[] } {
  const segments: Segment[] = [];
  let h = g.mul(x, w);
  for (let i = 0; i < 3; i++) {
    const start = h;
    const inner = g.exp(g.tanh(g.mul(h, g.sin(g.add(condition, i)))));
    h = g.add(h, g.mul(inner, w));
    segments.push({ start, end: h });
  }
  return { loss: g.sum(g.mul(h, h)), segments, states: segments.map(({ end }) => end) };
}

const numbers = (graph: Graph) =>
  Object.fromEntries(Object.entries(evaluate(graph, feeds)).map(([name, { data }]) => [name, [...data]]));

const { loss, segments } = network();
const [dw, dx] = gradient(loss, [w, x]) as [Tensor, Tensor];
const plain: Graph = { outputs: { loss, dw, dx } };
const lean = recompute(plain, loss, segments);

/** The nodes that something outside `of` reads, among those of the forward pass. */
function kept(graph: Graph): Node[] {
  const forward = new Set(nodesOf([graph.outputs.loss!]));
  const readers = nodesOf(Object.values(graph.outputs)).filter((node) => !forward.has(node));
  return [...forward].filter((node) => readers.some(({ inputs }) => inputs.some((input) => input.node === node)));
}

describe("a graph with recomputed blocks", () => {
  it("has the same outputs, bit for bit", () => {
    expect(numbers(lean)).toEqual(numbers(plain));
    expect(numbers(simplify(lean))).toEqual(numbers(plain));
  });

  it("keeps none of a block's inside: only states, and what does not depend on them", () => {
    const ops = (graph: Graph) => kept(graph).map(({ op }) => op);
    expect(ops(plain)).toContain("tanh");
    for (const op of ["tanh", "exp"]) expect(ops(lean)).not.toContain(op);
    expect(ops(lean)).toContain("sin");
  });

  it("computes each block again once, and not before the gradient of its end is there", () => {
    const count = (graph: Graph, op: string) =>
      nodesOf(Object.values(simplify(graph).outputs)).filter((node) => node.op === op).length;
    expect([count(plain, "tanh"), count(lean, "tanh")]).toEqual([3, 6]);
    expect(count(lean, "sin")).toBe(count(plain, "sin"));
    expect(count(lean, "controlDependency")).toBe(3);
  });

  it("leaves the gradient of a tensor between blocks alone", () => {
    const [middle] = gradient(loss, [segments[0]!.end]) as [Tensor];
    const graph: Graph = { outputs: { loss, middle } };
    expect(numbers(recompute(graph, loss, segments))).toEqual(numbers(graph));
  });

  it("without segments is the graph that it was", () => {
    expect(recompute(plain, loss, []).outputs).toEqual(plain.outputs);
  });

  it("computes again also what only a report reads, if the loss does not", () => {
    const { loss: other, segments: parts } = network();
    const inner = nodesOf([parts[1]!.end])
      .filter(({ op }) => op === "tanh")
      .at(-1)!.outputs[0]!;
    const graph: Graph = { outputs: { loss: other, report: g.sum(inner) } };
    expect(numbers(recompute(graph, other, parts))).toEqual(numbers(graph));
  });
});
