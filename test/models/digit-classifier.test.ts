import { expect, test } from "vitest";
import { float32 } from "../../src/array/ndarray.ts";
import { uniforms } from "../../src/array/random.ts";
import { runAndRead } from "../../src/engine/engine.ts";
import { cpuEngine } from "../../src/engine/onnx/cpu-engine.ts";
import { input } from "../../src/graph/build.ts";
import { digitClassifier } from "../../src/models/digit-classifier.ts";
import { initialWeights } from "../../src/nn/init.ts";
import { Params } from "../../src/nn/params.ts";
import "../golden/matchers.ts";

function traced() {
  const p = new Params();
  const outputs = digitClassifier(p, input("x", [4, 1, 28, 28]));
  return { specs: p.specs(), outputs };
}

test("the digit classifier's weights are named and shaped as in PyTorch", () => {
  const shapes = Object.fromEntries(traced().specs.map(({ name, shape }) => [name, shape]));
  expect(shapes).toEqual({
    "conv1.weight": [16, 1, 3, 3],
    "conv1.bias": [16],
    "conv2.weight": [32, 16, 3, 3],
    "conv2.bias": [32],
    "fc1.weight": [64, 1568],
    "fc1.bias": [64],
    "fc2.weight": [10, 64],
    "fc2.bias": [10],
  });
});

test("the digit classifier's logits are the last layer on its features, which are 64 rectified activations", async () => {
  const { specs, outputs } = traced();
  const weights = initialWeights(specs, 3);
  const x = float32(uniforms({ seed: 1, purpose: "x", step: 0, index: 0 }, 4 * 784), [4, 1, 28, 28]);
  const session = await cpuEngine({ threads: 1 }).compile({ outputs: { ...outputs } });
  const { features, logits } = await runAndRead(session, { ...Object.fromEntries(weights), x });
  const values = features!.data as Float32Array;
  expect(features!.shape).toEqual([4, 64]);
  expect(Math.min(...values)).toBe(0);
  expect(Math.max(...values)).toBeGreaterThan(0);
  const last = weights.get("fc2.weight")!.data;
  const expected = Float32Array.from({ length: 40 }, (_, i) => {
    const [row, k] = [Math.floor(i / 10), i % 10];
    return Array.from({ length: 64 }, (_, j) => values[row * 64 + j]! * last[k * 64 + j]!).reduce((a, b) => a + b);
  });
  expect(logits!).toMatchGolden(float32(expected, [4, 10]), { relative: 1e-5 });
});
