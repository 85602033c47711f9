/** The shape of lowered graphs: which node waits for which, which names are used, what a run must be fed. */
import { describe, expect, test } from "vitest";
import { float32 } from "../../../src/array/ndarray.ts";
import { cpuLowering } from "../../../src/engine/onnx/cpu-lowering.ts";
import { lower } from "../../../src/engine/onnx/lowering.ts";
import type { OnnxModel, OnnxNode } from "../../../src/engine/onnx/model.ts";
import * as g from "../../../src/graph/build.ts";
import { symbolicDim } from "../../../src/graph/dim.ts";

const N = symbolicDim("N");
const x = g.input("x", [N, 3]);

/** All nodes that must have run before the value exists. */
function ancestors({ nodes }: OnnxModel, name: string): Set<OnnxNode> {
  const producers = new Map(nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)));
  const found = new Set<OnnxNode>();
  const stack = [name];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const node = producers.get(next);
    if (!node || found.has(node)) continue;
    found.add(node);
    stack.push(...node.inputs);
  }
  return found;
}

const typesOf = (nodes: Iterable<OnnxNode>): string[] => Array.from(nodes, (node) => node.opType);

describe("a lowered graph", () => {
  test("computes a value after another one only when that one exists", () => {
    const early = g.tanh(g.neg(x));
    const recomputed = g.exp(g.controlDependency(x, early));
    const { model } = lower({ outputs: { early, free: g.exp(x), recomputed } }, cpuLowering);
    expect(typesOf(model.nodes).filter((type) => type === "Exp")).toHaveLength(2);
    expect(typesOf(ancestors(model, "recomputed"))).toContain("Tanh");
    expect(typesOf(ancestors(model, "free"))).not.toContain("Tanh");
  });

  test("computes a bias before GELU with it, and leaves out what nobody reads then", () => {
    const sum = g.add(g.exp(x), g.parameter("b", [3]));
    const alone = lower({ outputs: { y: g.geluTanh(sum) } }, cpuLowering).model;
    expect(typesOf(alone.nodes)).toEqual(["Exp", "FastGelu"]);
    const both = lower({ outputs: { y: g.geluTanh(sum), sum } }, cpuLowering).model;
    expect(typesOf(both.nodes).sort()).toEqual(["Add", "Exp", "FastGelu"]);
  });

  test("defines every value before it is used, and once", () => {
    const y = g.softmax(g.linear(x, g.parameter("w", [4, 3])));
    const { model } = lower({ outputs: { y, again: y, x2: x } }, cpuLowering);
    const known = new Set([...model.inputs, ...model.initializers].map(({ name }) => name));
    for (const node of model.nodes) {
      for (const name of node.inputs) expect(known).toContain(name);
      for (const name of node.outputs) {
        expect(known).not.toContain(name);
        known.add(name);
      }
    }
    for (const { name } of model.outputs) expect(known).toContain(name);
  });

  test("is fed inputs first, then the weights that are not constants", () => {
    const y = g.linear(g.linear(x, g.parameter("a", [4, 3])), g.parameter("b", [2, 4]));
    const constants = new Map([["a", { name: "a", value: float32(new Float32Array(12), [4, 3]) }]]);
    expect(lower({ outputs: { y } }, cpuLowering).inputs.map(({ name }) => name)).toEqual(["x", "a", "b"]);
    const { model, inputs } = lower({ outputs: { y } }, cpuLowering, constants);
    expect(inputs.map(({ name }) => name)).toEqual(["x", "b"]);
    expect(model.initializers.map(({ name }) => name)).toContain("a");
  });

  test("has no names of its own that an input could bear", () => {
    const inputs = Array.from({ length: 30 }, (_, i) => g.input(`v${i}`, [3]));
    const y = inputs.reduce((a, b) => g.mul(g.add(a, 1), b));
    const { model } = lower({ outputs: { v30: y } }, cpuLowering);
    const names = [...model.inputs.map(({ name }) => name), ...model.nodes.flatMap((node) => node.outputs)];
    expect(new Set(names).size).toBe(names.length);
  });

  test("multiplies matrices by Gemm and FusedMatMul, never by a Transpose", () => {
    const heads = g.input("h", [N, 2, 4, 3]);
    const y = g.attention(heads, heads, heads, 0.5);
    const z = g.linear(x, g.parameter("w", [4, 3]), g.parameter("b", [4]));
    const types = typesOf(lower({ outputs: { y, z } }, cpuLowering).model.nodes);
    expect(types.toSorted()).toEqual(["FusedMatMul", "FusedMatMul", "Gemm", "Softmax"]);
  });

  test("refuses a size that no input carries, naming it", () => {
    const graph = { outputs: { y: g.fill(1, [symbolicDim("M"), 2]), x } };
    expect(() => lower(graph, cpuLowering)).toThrow("no graph input carries the size M");
  });
});
