/** Rewrites change the graph and not its values: common subexpressions, simplification, expansion. */
import { describe, expect, test } from "vitest";
import { float32 } from "../../src/array/ndarray.ts";
import * as g from "../../src/graph/build.ts";
import { symbolicDim } from "../../src/graph/dim.ts";
import { type CompositeOp, expand } from "../../src/graph/expand.ts";
import { gradient } from "../../src/graph/gradient.ts";
import { type Graph, nodesOf } from "../../src/graph/graph.ts";
import type { Op } from "../../src/graph/op.ts";
import { mergeCommonSubexpressions, rewrite } from "../../src/graph/rewrite.ts";
import { simplify } from "../../src/graph/simplify.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { evaluate, type Value } from "../reference/evaluate.ts";
import { feedsOf, listCases, traceCase, valuesOf } from "./cases/op-case.ts";
import { opCases } from "./cases/op-cases.ts";

const N = symbolicDim("N");
const x = g.input("x", [N, 3]);
const row = g.input("row", [3]);

const opsOf = ({ outputs }: Graph): Op[] => nodesOf(Object.values(outputs)).map((node) => node.op);
const count = (graph: Graph, op: Op): number => opsOf(graph).filter((name) => name === op).length;
const merged = (...ys: Tensor[]): Graph =>
  mergeCommonSubexpressions({ outputs: Object.fromEntries(ys.map((y, i) => [`y${i}`, y])) });

function expectSameValues(actual: Record<string, Value>, expected: Record<string, Value>, relative: number): void {
  expect(Object.keys(actual)).toEqual(Object.keys(expected));
  for (const [name, { shape, data }] of Object.entries(expected)) {
    expect(actual[name]!.shape).toEqual(shape);
    const largest = data.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    data.forEach((value, i) => {
      const found = actual[name]!.data[i]!;
      expect(Math.abs(found - value), `${name}[${i}] ${found} for ${value}`).toBeLessThanOrEqual(relative * largest);
    });
  }
}

describe("common subexpressions", () => {
  test("are computed once, through chains and equal constants", () => {
    const chain = () => g.mul(g.exp(g.neg(x)), g.constant(float32([1, 2, 3])));
    const graph = merged(chain(), chain());
    expect(opsOf(graph).toSorted()).toEqual(["constant", "exp", "input", "mul", "neg"]);
    expect(graph.outputs.y0).toBe(graph.outputs.y1);
  });

  test("are merged where one weight or input is named twice", () => {
    const use = () => g.linear(g.input("x", [N, 3]), g.parameter("w", [2, 3]));
    expect(opsOf(merged(use(), use()))).toEqual(["input", "parameter", "linear"]);
  });

  test("differ by attribute, operand order, output and constant", () => {
    const big = () => g.constant(float32(new Float32Array(30)));
    const pairs: readonly (readonly [Tensor, Tensor])[] = [
      [g.sum(x, [0]), g.sum(x, [1])],
      [g.sub(x, row), g.sub(row, x)],
      [g.mul(g.split(row, 3, 0)[0]!, 2), g.mul(g.split(row, 3, 0)[1]!, 2)],
      [g.add(x, 1), g.add(x, 2)],
      [g.fill(Number.NEGATIVE_INFINITY, [2]), g.fill(Number.POSITIVE_INFINITY, [2])],
      [g.fill(Number.NaN, [2]), g.fill(Number.POSITIVE_INFINITY, [2])],
      [g.constant(float32([1, 2], [2])), g.constant(float32([1, 2], [1, 2]))],
      [g.scalar(1), g.scalar(1, "int32")],
      [big(), big()],
    ];
    for (const [a, b] of pairs) {
      const { outputs } = merged(a, b);
      expect(outputs.y0 === outputs.y1).toBe(false);
    }
  });

  test("are not merged across after, unless the order is the same", () => {
    const one = g.exp(g.controlDependency(x, g.neg(row)));
    const apart = merged(
      g.exp(x),
      one,
      g.exp(g.controlDependency(x, g.abs(row))),
      g.exp(g.controlDependency(x, g.neg(row))),
    );
    expect(count(apart, "exp")).toBe(3);
    expect(count(apart, "controlDependency")).toBe(2);
  });

  test("make attention and its gradient share the softmax", () => {
    const q = g.input("q", [N, 2, 4, 3]);
    const y = g.attention(q, q, q, 0.5);
    const graph = { outputs: { y, dq: gradient(g.sum(g.mul(y, y)), [q])[0]! } };
    expect(count(simplify(expand(graph, ["attention"])), "softmax")).toBe(1);
  });
});

describe("rewrite", () => {
  test("keeps the nodes whose operands did not change", () => {
    const [kept, replaced] = [g.exp(x), g.neg(row)];
    const [y] = rewrite([g.add(kept, replaced)], (node) => (node.op === "neg" ? [g.abs(row)] : undefined));
    expect(y!.node.inputs[0]).toBe(kept);
    expect(y!.node.inputs[1]!.node.op).toBe("abs");
  });

  test("without a change returns the tensors themselves", () => {
    const y = g.add(g.exp(x), row);
    expect(rewrite([y], () => undefined)).toEqual([y]);
    expect(rewrite([y], () => undefined)[0]).toBe(y);
  });
});

describe("simplify", () => {
  const { add, sub, mul, div } = g;
  test.each(
    Object.entries({ add, sub, mul, div }),
  )("drops the broadcasts inside %s, where the shape allows it", (_, op) => {
    const needless = { outputs: { y: op(g.broadcast(row, [N, 3]), x), z: op(x, g.broadcast(row, [N, 3])) } };
    expect(count(simplify(needless), "broadcast")).toBe(0);
    const needed = { outputs: { y: op(g.broadcast(row, [2, 3]), g.broadcast(row, [2, 3])), x } };
    expect(count(simplify(needed), "broadcast")).toBe(1);
  });

  test("drops additions of zeros and keeps those that broadcast", () => {
    const graph = simplify({ outputs: { y: g.add(g.fill(0, [N, 3]), x), z: g.add(x, g.fill(0, [])) } });
    expect(opsOf(graph)).toEqual(["input"]);
    expect(count(simplify({ outputs: { y: g.add(row, g.fill(0, [2, 3])) } }), "add")).toBe(1);
  });

  test.each(
    listCases(opCases).map((entry) => ({ ...entry, title: entry.case.title })),
  )("keeps the values of $op $title and of its gradient", ({ case: item, noGradient }) => {
    const { graph, leaves } = traceCase(item, !noGradient);
    const feeds = valuesOf(feedsOf(leaves, item.sizes[0]!));
    expectSameValues(evaluate(simplify(graph), feeds), evaluate(graph, feeds), 0);
  });
});

describe("expand", () => {
  test.each<CompositeOp>([
    "attention",
    "silu",
    "geluTanh",
    "gelu",
  ])("replaces %s by operations of the same value", (op) => {
    for (const { case: item } of listCases(opCases).filter((entry) => entry.op === op)) {
      const { graph, leaves } = traceCase(item, true);
      const feeds = valuesOf(feedsOf(leaves, item.sizes[0]!));
      const expanded = expand(graph, [op]);
      expect(opsOf(expanded)).not.toContain(op);
      // Constants such as 0.044715 are float32 in the smaller operations.
      expectSameValues(evaluate(expanded, feeds), evaluate(graph, feeds), 1e-7);
    }
  });

  test("leaves the operations that are not named", () => {
    const graph = { outputs: { y: g.geluTanh(x), z: g.silu(x) } };
    expect(opsOf(expand(graph, ["silu"]))).toContain("geluTanh");
    expect(expand(graph, [])).toEqual(graph);
  });
});
