/** The WebGPU table on the CPU provider, which knows all its operators: so it is checked on every machine. */

import { describe, expect, test } from "vitest";
import { InputError } from "../../../src/array/input-error.ts";
import { float32 } from "../../../src/array/ndarray.ts";
import { runAndRead } from "../../../src/engine/engine.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { lower } from "../../../src/engine/onnx/lowering.ts";
import type { OnnxNode } from "../../../src/engine/onnx/model.ts";
import { webgpuEngine } from "../../../src/engine/onnx/webgpu-engine.ts";
import { webgpuLowering } from "../../../src/engine/onnx/webgpu-lowering.ts";
import * as g from "../../../src/graph/build.ts";
import { symbolicDim } from "../../../src/graph/dim.ts";
import type { Tensor } from "../../../src/graph/tensor.ts";
import { describeLowering } from "./against-reference.ts";

const engine = cpuEngine({ threads: 1, lowering: webgpuLowering });

describeLowering("the WebGPU lowering", engine);

const nodesFor = (y: Tensor): readonly OnnxNode[] => lower({ outputs: { y } }, webgpuLowering).model.nodes;
const typesFor = (y: Tensor): string[] => nodesFor(y).map((node) => node.opType);

describe("a graph lowered for WebGPU", () => {
  test("multiplies batches without FusedMatMul and scales whichever is smaller", () => {
    const [tall, wide] = [g.input("tall", [2, 5, 3]), g.input("wide", [2, 5, 7])];
    expect(typesFor(g.matmul(tall, tall, { transposeB: true, scale: 0.5 }))).toEqual(["Mul", "Transpose", "MatMul"]);
    expect(typesFor(g.matmul(wide, tall, { transposeA: true, scale: 0.5 }))).toEqual(["Transpose", "MatMul", "Mul"]);
    expect(typesFor(g.matmul(tall, g.transpose(wide, [0, 2, 1]), { transposeA: true, transposeB: true }))).toEqual([
      "Transpose",
      "Transpose",
      "Transpose",
      "MatMul",
    ]);
  });

  test("pays for spare rows only where a batch may be empty", () => {
    const rows = (n: Parameters<typeof g.input>[1][number]) => typesFor(g.softmax(g.input("x", [n, 4])));
    expect(rows(3)).toEqual(["Softmax"]);
    expect(rows(symbolicDim("N"))).toEqual(["Pad", "Softmax", "Slice"]);
  });

  test("adds terms of zero to products over an axis that may be empty", async () => {
    const T = symbolicDim("T");
    const y = g.matmul(g.input("a", [1, T, 2]), g.input("b", [1, 1, T]), { transposeA: true, transposeB: true });
    expect(typesFor(y).filter((type) => type === "Pad")).toHaveLength(2);
    const session = await engine.compile({ outputs: { y } });
    const feeds = { a: float32([1, 2, 3, 4], [1, 2, 2]), b: float32([10, 1], [1, 1, 2]) };
    expect([...(await runAndRead(session, feeds)).y!.data]).toEqual([13, 24]);
  });

  test("takes no sine or cosine of the shader's", () => {
    const x = g.input("x", [3]);
    const types = new Set(typesFor(g.add(g.sin(x), g.cos(x))));
    expect([...types].sort()).toEqual(["Add", "Floor", "Mul", "Sub"]);
  });
});

test("sine and cosine are right to 3e-7 for angles up to 1000", async () => {
  const angles = Float32Array.from({ length: 20_001 }, (_, i) => (i - 10_000) / 10);
  const x = g.input("x", [angles.length]);
  const session = await engine.compile({ outputs: { sin: g.sin(x), cos: g.cos(x) } });
  const { sin, cos } = await runAndRead(session, { x: float32(angles) });
  const worst = (found: ArrayLike<number | bigint>, exact: (angle: number) => number): number =>
    angles.reduce((most, angle, i) => Math.max(most, Math.abs(Number(found[i]) - exact(angle))), 0);
  expect(worst(sin!.data, Math.sin)).toBeLessThan(3e-7);
  expect(worst(cos!.data, Math.cos)).toBeLessThan(3e-7);
});

// The Vulkan loader reads these variables; elsewhere no setting hides the GPU from the provider.
test.runIf(process.platform === "linux")("without a GPU the engine says so in one sentence", async () => {
  process.env.VK_ICD_FILENAMES = "/no/driver.json";
  process.env.VK_DRIVER_FILES = "/no/driver.json";
  const graph = { outputs: { y: g.neg(g.input("x", [2])) } };
  const error = await webgpuEngine()
    .compile(graph)
    .catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(InputError);
  expect((error as InputError).message).toMatch(/^webgpu: no GPU was found: [^\n]+$/);
});
