/** The WebGPU provider itself: every operation against the reference, and whole models against the CPU engine. */
import { describe, expect, test } from "vitest";
import { float32, int32, type NDArray } from "../../../src/array/ndarray.ts";
import { normals } from "../../../src/array/random.ts";
import { type Engine, type NamedArrays, runAndRead } from "../../../src/engine/engine.ts";
import { cpuEngine } from "../../../src/engine/onnx/cpu-engine.ts";
import { webgpuEngine } from "../../../src/engine/onnx/webgpu-engine.ts";
import * as g from "../../../src/graph/build.ts";
import { type Dim, symbolicDim } from "../../../src/graph/dim.ts";
import { gradient } from "../../../src/graph/gradient.ts";
import type { Graph } from "../../../src/graph/graph.ts";
import type { Tensor } from "../../../src/graph/tensor.ts";
import { ditConfigSchema } from "../../../src/models/dit/config.ts";
import { dit } from "../../../src/models/dit/dit.ts";
import { initialWeights } from "../../../src/nn/init.ts";
import { Params } from "../../../src/nn/params.ts";
import { type RunBlock, runAll } from "../../../src/nn/run-block.ts";
import { runRouted } from "../../../src/pruning/run-routed.ts";
import { describeLowering } from "./against-reference.ts";

const engine = webgpuEngine({ threads: 1 });

describeLowering("the WebGPU provider", engine, ["quantizeRows", "quantizeWeight", "quantizedLinear"]);

test("a layer norm far from zero keeps its digits", async () => {
  const [rows, size] = [4, 64];
  const data = normals({ seed: 1, purpose: "far", step: 0, index: 0 }, rows * size).map((x) => 100 + x);
  const x = g.input("x", [rows, size]);
  const results = await runOn(engine, { outputs: { y: g.layerNorm(x, 1e-6) } }, { x: float32(data, [rows, size]) });
  const fed = Float32Array.from(data);
  for (let row = 0; row < rows; row++) {
    const values = [...fed.subarray(row * size, (row + 1) * size)];
    const mean = values.reduce((sum, value) => sum + value) / size;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / size;
    values.forEach((value, i) => {
      const exact = (value - mean) / Math.sqrt(variance + 1e-6);
      expect(Math.abs(Number(results.y!.data[row * size + i]) - exact)).toBeLessThan(1e-5);
    });
  }
});

test.each([false, true])("products over an axis without elements are zero, transposed: %s", async (transposed) => {
  const T = symbolicDim("T");
  const a = g.input("a", transposed ? [2, T, 3] : [2, 3, T]);
  const b = g.input("b", transposed ? [2, 4, T] : [2, T, 4]);
  const y = g.matmul(a, b, { transposeA: transposed, transposeB: transposed });
  const session = await engine.compile({ outputs: { y } });
  for (const size of [2, 0]) {
    const fed = (shape: readonly Dim[]) => {
      const sizes = shape.map((dim) => (typeof dim === "number" ? dim : size));
      return float32(new Float32Array(sizes.reduce((product, n) => product * n)).fill(1), sizes);
    };
    const results = await runAndRead(session, { a: fed(a.shape), b: fed(b.shape) });
    expect(results.y!.shape).toEqual([2, 3, 4]);
    expect([...results.y!.data]).toEqual(new Array<number>(24).fill(size));
  }
});

const config = ditConfigSchema.parse({
  ...{ inputSize: 16, patchSize: 4, inChannels: 2 },
  ...{ hiddenSize: 48, depth: 3, numHeads: 3, numClasses: 5 },
});
const rows = 4;

const draw = (purpose: string, count: number): Float32Array =>
  Float32Array.from(normals({ seed: 3, purpose, step: 0, index: 0 }, count));

/** A DiT's output and the gradients of all its weights; the weights are such that no gradient is zero by design. */
function ditGraph(runBlock: RunBlock): { graph: Graph; feeds: Record<string, NDArray> } {
  const p = new Params();
  const image = [rows, config.inChannels, config.inputSize, config.inputSize];
  const x = g.input("x", image);
  const output = dit(p, config, { x, t: g.input("t", [rows]), y: g.input("y", [rows], "int32") }, runBlock);
  const loss = g.sum(g.mul(output, g.input("cotangent", output.shape)));
  const names = p.specs().map(({ name }) => name);
  const gradients = gradient(
    loss,
    names.map((name) => p.tensor(name)),
  );
  const size = image.reduce((product, dim) => product * dim);
  const feeds: Record<string, NDArray> = {
    x: float32(draw("x", size), image),
    cotangent: float32(draw("cotangent", 2 * size), output.shape as number[]),
    t: float32([999, 0, 421.5, 7]),
    y: int32([0, 5, 2, 3]),
  };
  for (const [name, { data, shape }] of initialWeights(p.specs(), 1)) {
    const noise = draw(`awake ${name}`, data.length);
    feeds[name] = float32(
      data.map((value, i) => value + 0.1 * noise[i]!),
      shape,
    );
  }
  const outputs: Record<string, Tensor> = { output };
  names.forEach((name, i) => {
    outputs[`d.${name}`] = gradients[i]!;
  });
  return { graph: { outputs }, feeds };
}

async function runOn(on: Engine, graph: Graph, feeds: NamedArrays): Promise<Record<string, NDArray>> {
  const session = await on.compile(graph);
  const results = await runAndRead(session, feeds);
  await session.release();
  return results;
}

/** The largest difference, as a part of the largest expected number. */
function distance(actual: NDArray, expected: NDArray): number {
  const [a, b] = [Float64Array.from(actual.data, Number), Float64Array.from(expected.data, Number)];
  const largest = b.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return b.reduce((most, value, i) => Math.max(most, Math.abs(a[i]! - value)), 0) / Math.max(largest, 1e-6);
}

async function expectAgreement(graph: Graph, feeds: NamedArrays): Promise<void> {
  const [actual, expected] = [await runOn(engine, graph, feeds), await runOn(cpuEngine(), graph, feeds)];
  expect(Object.keys(actual).length).toBe(Object.keys(graph.outputs).length);
  for (const [name, value] of Object.entries(expected)) {
    expect(actual[name]!.shape, name).toEqual(value.shape);
    expect(distance(actual[name]!, value), name).toBeLessThan(1e-5);
  }
}

describe("a DiT agrees with the CPU engine in its output and in the gradient of every weight", () => {
  test("with all its blocks", async () => {
    const { graph, feeds } = ditGraph(runAll);
    await expectAgreement(graph, feeds);
  });

  test("with routed blocks: one keeps some rows, one all, one none", async () => {
    const { graph, feeds } = ditGraph(runRouted([]));
    const kept = [[0, 2], [0, 1, 2, 3], []];
    kept.forEach((mine, block) => {
      const dropped = [0, 1, 2, 3].filter((row) => !mine.includes(row));
      const order = [...mine, ...dropped];
      feeds[`kept.${block}`] = int32(mine);
      feeds[`dropped.${block}`] = int32(dropped);
      feeds[`inverse.${block}`] = int32([0, 1, 2, 3].map((row) => order.indexOf(row)));
    });
    await expectAgreement(graph, feeds);
  });
});
