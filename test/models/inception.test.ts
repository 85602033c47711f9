import { describe, expect, it } from "vitest";
import { conv2d, input, parameter } from "../../src/graph/build.ts";
import { inception } from "../../src/models/inception/inception.ts";
import { foldedWeights, inceptionFileSpecs, inceptionSpecs, nvidiaNames } from "../../src/models/inception/weights.ts";
import { Params } from "../../src/nn/params.ts";
import { fixture, inceptionWeight } from "../golden/inception-fixture.ts";

const specs = inceptionFileSpecs();

describe("FID's Inception-v3", () => {
  it("has the names and shapes of torchvision's state dict with 1008 classes", () => {
    const shapes = Object.fromEntries(specs.map(({ name, shape }) => [name, shape]));
    expect(shapes).toEqual(fixture.settings.weights);
    expect(specs.filter(({ name }) => name.endsWith("conv.weight"))).toHaveLength(94);
  });

  it("sees 2048 pooled and 7 · 17 · 17 spatial features, and 1008 classes", () => {
    const { pooled, spatial, logits } = inception(new Params(), input("x", [2, 3, 299, 299]));
    expect([pooled.shape, spatial.shape, logits.shape]).toEqual([
      [2, 2048],
      [2, 2023],
      [2, 1008],
    ]);
  });

  it("folds a normalisation into weights and biases that compute the same", () => {
    const file = new Map(specs.map(({ name, shape }) => [name, inceptionWeight(name, shape)]));
    const folded = foldedWeights(file);
    expect([...folded.keys()].sort()).toEqual(
      inceptionSpecs()
        .map(({ name }) => name)
        .sort(),
    );
    const unit = "Mixed_5b.branch5x5_2"; // [64, 48, 5, 5]
    const own = (part: string, o: number) => file.get(`${unit}.${part}`)!.data[o]!;
    const patch = Array.from({ length: 48 * 25 }, (_, i) => Math.sin(i));
    for (const o of [0, 1, 63]) {
      const kernel = (name: string, weights = folded) => weights.get(name)!.data.subarray(o * 1200, (o + 1) * 1200);
      const sum = (weights: Float32Array) => patch.reduce((total, x, i) => total + x * weights[i]!, 0);
      const raw = sum(kernel(`${unit}.conv.weight`, file));
      const normalised = (raw - own("bn.running_mean", o)) / Math.sqrt(own("bn.running_var", o) + 0.001);
      const expected = normalised * own("bn.weight", o) + own("bn.bias", o);
      expect(sum(kernel(`${unit}.weight`)) + folded.get(`${unit}.bias`)!.data[o]!).toBeCloseTo(expected, 5);
    }
  });
});

describe("NVIDIA's names", () => {
  const names = nvidiaNames();

  it("name every weight of a file but the gains of normalisations, once", () => {
    const named = specs.filter(({ name }) => !name.endsWith("bn.weight")).map(({ name }) => name);
    expect([...names.keys()].sort()).toEqual(named.sort());
    expect(new Set(names.values()).size).toBe(4 * 94 + 2);
  });

  it.each([
    // As a conversion of TensorFlow's graph to torchvision's names lists them.
    ["Conv2d_1a_3x3.conv.weight", "layers.conv.weight"],
    ["Conv2d_4a_3x3.bn.running_var", "layers.conv_4.var"],
    ["Mixed_5b.branch5x5_2.bn.bias", "layers.mixed.tower.conv_1.beta"],
    ["Mixed_5d.branch_pool.conv.weight", "layers.mixed_2.tower_2.conv.weight"],
    ["Mixed_6a.branch3x3dbl_3.bn.running_mean", "layers.mixed_3.tower.conv_2.mean"],
    ["Mixed_6d.branch7x7dbl_5.conv.weight", "layers.mixed_6.tower_1.conv_4.weight"],
    ["Mixed_6d.branch1x1.conv.weight", "layers.mixed_6.conv.weight"],
    ["Mixed_7a.branch7x7x3_4.conv.weight", "layers.mixed_8.tower_1.conv_3.weight"],
    ["Mixed_7b.branch3x3_2b.conv.weight", "layers.mixed_9.tower_mixed_conv_1.weight"],
    ["Mixed_7c.branch3x3dbl_2.conv.weight", "layers.mixed_10.tower_1_conv_1.weight"],
    ["Mixed_7c.branch3x3dbl_3a.bn.bias", "layers.mixed_10.tower_1_mixed_conv.beta"],
    ["fc.bias", "output.bias"],
  ])("%s is %s", (ours, theirs) => {
    expect(names.get(ours)).toBe(theirs);
  });
});

it("padding of one number is that of rows and of columns", () => {
  const [x, weight] = [input("x", [2, 3, 8, 8]), parameter("w", [4, 3, 3, 3])];
  expect(conv2d(x, weight, undefined, 1, 2).node.attributes).toEqual({ stride: 1, padding: [2, 2] });
  expect(conv2d(x, weight, undefined, 1, [0, 2]).shape).toEqual([2, 4, 6, 10]);
});
