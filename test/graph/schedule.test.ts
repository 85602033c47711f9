/** The order in which nodes run: complete, inputs first, and with little to keep. */
import { describe, expect, it } from "vitest";
import * as g from "../../src/graph/build.ts";
import { gradient } from "../../src/graph/gradient.ts";
import { type Graph, nodesOf } from "../../src/graph/graph.ts";
import { recompute, type Segment } from "../../src/graph/recompute.ts";
import { schedule } from "../../src/graph/schedule.ts";
import { simplify } from "../../src/graph/simplify.ts";
import type { Node, Tensor } from "../../src/graph/tensor.ts";

const DEPTH = 12;

/** A chain of residual blocks with a weight each; the gradients of all weights, the first block's first. */
function chain(): { graph: Graph; loss: Tensor; segments: Segment[] } {
  const weights = Array.from({ length: DEPTH }, (_, i) => g.parameter(`w${i}`, [4]));
  const segments: Segment[] = [];
  let h: Tensor = g.input("x", [4]);
  for (const w of weights) {
    const start = h;
    h = g.add(h, g.tanh(g.exp(g.mul(g.tanh(h), w))));
    segments.push({ start, end: h });
  }
  const loss = g.sum(g.mul(h, h));
  const gradients = gradient(loss, weights);
  return {
    graph: { outputs: { loss, ...Object.fromEntries(gradients.map((dw, i) => [`d${i}`, dw])) } },
    loss,
    segments,
  };
}

/** The most values that are alive at once, outputs excepted. */
function mostAlive(order: readonly Node[], { outputs }: Graph): number {
  const results = new Set(Object.values(outputs).map(({ node }) => node));
  const last = new Map<Node, number>();
  order.forEach((node, at) => {
    for (const x of node.inputs) last.set(x.node, at);
  });
  let [alive, most] = [0, 0];
  order.forEach((node, at) => {
    if (node.inputs.length > 0 && !results.has(node)) most = Math.max(most, ++alive);
    for (const x of new Set(node.inputs.map((input) => input.node))) {
      if (last.get(x) === at && x.inputs.length > 0 && !results.has(x)) alive--;
    }
  });
  return most;
}

const { graph, loss, segments } = chain();
const plain = simplify(graph);
const lean = simplify(recompute(graph, loss, segments));

describe("a schedule", () => {
  it("holds each node once, inputs before users", () => {
    for (const of of [plain, lean]) {
      const order = schedule(of);
      expect(new Set(order)).toEqual(new Set(nodesOf(Object.values(of.outputs))));
      expect(order.length).toBe(new Set(order).size);
      const at = new Map(order.map((node, i) => [node, i]));
      for (const node of order) for (const x of node.inputs) expect(at.get(x.node)!).toBeLessThan(at.get(node)!);
    }
  });

  it("frees a block before it goes on to the block before it: recomputation pays", () => {
    const kept = mostAlive(schedule(plain), plain);
    expect(mostAlive(schedule(lean), lean)).toBeLessThan(DEPTH + 10);
    expect(kept).toBeGreaterThan(3 * DEPTH);
    expect(mostAlive(nodesOf(Object.values(lean.outputs)), lean)).toBeGreaterThan(2 * DEPTH);
  });

  it("is the same for the same graph", () => {
    expect(schedule(plain).map(({ id }) => id)).toEqual(schedule(plain).map(({ id }) => id));
  });
});
