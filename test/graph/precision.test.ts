/** Mixed precision as a rewrite: what it changes, what it leaves, and how far its results are from float32. */
import { describe, expect, test } from "vitest";
import { float32 } from "../../src/array/ndarray.ts";
import { normals } from "../../src/array/random.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import * as g from "../../src/graph/build.ts";
import { gradient } from "../../src/graph/gradient.ts";
import { withPrecision } from "../../src/graph/precision.ts";
import { printGraph } from "../../src/graph/print.ts";
import { evaluate, toValue, type Value } from "../reference/evaluate.ts";

const x = g.input("x", [2, 3, 4]);
const w = g.parameter("w", [4, 4]);
const bias = g.parameter("b", [4]);
const hidden = g.linear(g.layerNorm(x, 1e-6), w, bias);
const heads = g.reshape(hidden, [2, 1, 3, 4]);
const y = g.attention(heads, heads, heads, 0.5);
const loss = g.sum(g.mul(y, y));
const [dw] = gradient(loss, [w]);

test("products take rounded operands and give float32; norms, softmax and additions stay", () => {
  expect(printGraph(withPrecision({ outputs: { y } }, "bfloat16"))).toMatchInlineSnapshot(`
    "%0 = layerNorm<ε:0.000001>(input x) [2, 3, 4] [2, 3, 1]
    %1 = cast<bfloat16>(%0.0) [2, 3, 4]
    %2 = cast<bfloat16>(w) [4, 4]
    %3 = linear(%1, %2) [2, 3, 4]
    %4 = cast<float32>(%3) [2, 3, 4]
    %5 = add(%4, b) [2, 3, 4]
    %6 = reshape(%5) [2, 1, 3, 4]
    %7 = cast<bfloat16>(%6) [2, 1, 3, 4]
    %8 = cast<bfloat16>(%6) [2, 1, 3, 4]
    %9 = matmul<ABᵀ·0.5>(%7, %8) [2, 1, 3, 3]
    %10 = cast<float32>(%9) [2, 1, 3, 3]
    %11 = softmax(%10) [2, 1, 3, 3]
    %12 = cast<bfloat16>(%11) [2, 1, 3, 3]
    %13 = cast<bfloat16>(%6) [2, 1, 3, 4]
    %14 = matmul<AB>(%12, %13) [2, 1, 3, 4]
    %15 = cast<float32>(%14) [2, 1, 3, 4]
    y: %15"
  `);
});

const draw = (purpose: string, shape: readonly number[]) => {
  const size = shape.reduce((product, n) => product * n);
  return toValue(float32(Float32Array.from(normals({ seed: 1, purpose, step: 0, index: 0 }, size)), shape));
};
const feeds = { x: draw("x", [2, 3, 4]), w: draw("w", [4, 4]), b: draw("b", [4]) };

/** The largest difference relative to the largest number. */
const relativeError = (found: Value, expected: Value): number =>
  Math.max(...expected.data.map((value, i) => Math.abs(value - found.data[i]!))) /
  Math.max(...expected.data.map(Math.abs));

test("results differ from float32 by roundings only, in both low types and in gradients", () => {
  const outputs = { y, dw: dw! };
  const exact = evaluate({ outputs }, feeds);
  for (const [dtype, epsilon] of [
    ["float16", 2 ** -11],
    ["bfloat16", 2 ** -8],
  ] as const) {
    const low = evaluate(withPrecision({ outputs }, dtype), feeds);
    for (const name of ["y", "dw"]) {
      const error = relativeError(low[name]!, exact[name]!);
      expect(error).toBeGreaterThan(0);
      expect(error).toBeLessThan(40 * epsilon);
    }
  }
});

test("parameters, constants and fills carry a type, and a gradient starts in the loss's", () => {
  const weight = g.parameter("half", [3], "float16");
  expect([weight.dtype, g.fill(2, [3], "float64").dtype, g.scalar(1, "bfloat16").dtype]).toEqual([
    "float16",
    "float64",
    "bfloat16",
  ]);
  const [d] = gradient(g.sum(g.mul(weight, weight)), [weight]);
  expect(d!.dtype).toBe("float16");
});

test("the CPU refuses it in a sentence", async () => {
  await expect(cpuEngine().compile(withPrecision({ outputs: { y } }, "bfloat16"))).rejects.toThrow(
    "cpu: there are no products in bfloat16 on this device; use float32",
  );
});

describe("int8", () => {
  test("takes the linear layers of weights; addends, attention and all else stay", () => {
    expect(printGraph(withPrecision({ outputs: { y } }, "int8"))).toMatchInlineSnapshot(`
      "%0 = layerNorm<ε:0.000001>(input x) [2, 3, 4] [2, 3, 1]
      %1 = quantizeWeight(w) [4, 4] [4]
      %2 = quantizeRows(%0.0) [2, 3, 4] [2, 3, 1]
      %3 = quantizedLinear(%2.0, %2.1, %1.0, %1.1) [2, 3, 4]
      %4 = add(%3, b) [2, 3, 4]
      %5 = reshape(%4) [2, 1, 3, 4]
      %6 = attention<·0.5>(%5, %5, %5) [2, 1, 3, 4]
      y: %6"
    `);
  });

  test("leaves the layers that are not asked for, and layers of weights that were computed", () => {
    const adapted = g.linear(x, g.add(w, g.matmul(g.parameter("b.up", [4, 2]), g.parameter("b.down", [2, 4]))));
    const graph = { outputs: { y, adapted } };
    const low = printGraph(withPrecision(graph, "int8", (name) => name !== "w"));
    expect(low).toBe(printGraph(graph));
    expect(printGraph(withPrecision({ outputs: { adapted } }, "int8"))).not.toContain("quantized");
  });

  test("rounds a weight once, however many layers read it", () => {
    const twice = g.linear(g.linear(x, w), w);
    expect(printGraph(withPrecision({ outputs: { twice } }, "int8")).match(/quantizeWeight/g)).toHaveLength(1);
  });

  test("differs from float32 by roundings to 127 steps", () => {
    const exact = evaluate({ outputs: { y } }, feeds);
    const low = evaluate(withPrecision({ outputs: { y } }, "int8"), feeds);
    const error = relativeError(low.y!, exact.y!);
    expect(error).toBeGreaterThan(0);
    expect(error).toBeLessThan(4 / 127);
  });

  test("refuses a gradient in a sentence; a gradient that was taken before stays", () => {
    const low = withPrecision({ outputs: { loss, dw: dw! } }, "int8");
    expect(printGraph(low)).toContain("linearWeightGradient");
    expect(() => gradient(low.outputs.loss!, [x])).toThrow("take gradients before withPrecision");
  });
});
