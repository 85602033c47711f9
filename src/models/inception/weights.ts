/** The weights that files of Inception-v3 hold, and those that the network has: its normalisations are folded in. */
import { float32, type NDArray, sizeOf } from "../../array/ndarray.ts";
import { input } from "../../graph/build.ts";
import { Params, type WeightSpec } from "../../nn/params.ts";
import { inception, inceptionSize } from "./inception.ts";

/** Added to every variance. */
const epsilon = 0.001;

/** Names and shapes of the network's own weights. */
export function inceptionSpecs(): WeightSpec[] {
  const p = new Params();
  inception(p, input("x", [2, 3, inceptionSize, inceptionSize]));
  return p.specs();
}

/** Names and shapes in a file: each convolution with its normalisation, and the classifier with its bias. */
export function inceptionFileSpecs(): WeightSpec[] {
  const kinds = { weight: "ones", bias: "zeros", running_mean: "zeros", running_var: "ones" } as const;
  return inceptionSpecs().flatMap(({ name, shape, init }): WeightSpec[] => {
    const scope = name.slice(0, name.lastIndexOf("."));
    const perChannel = [shape[0]!];
    if (scope === "fc")
      return [
        { name, shape, init },
        { name: "fc.bias", shape: perChannel, init: { kind: "zeros" } },
      ];
    if (name.endsWith(".bias")) return [];
    return [
      { name: `${scope}.conv.weight`, shape, init },
      ...Object.entries(kinds).map(([own, kind]) => ({
        name: `${scope}.bn.${own}`,
        shape: perChannel,
        init: { kind },
      })),
    ];
  });
}

/**
 * The network's weights from those of a file, which has them all: a normalisation multiplies each channel by
 * `weight / √(running_var + ε)`, which the convolution's weights can do, and adds what then is its bias.
 */
export function foldedWeights(file: ReadonlyMap<string, NDArray<"float32">>): Map<string, NDArray<"float32">> {
  const folded = new Map<string, NDArray<"float32">>();
  for (const { name, shape } of inceptionSpecs()) {
    const scope = name.slice(0, name.lastIndexOf("."));
    if (scope === "fc") folded.set(name, file.get(name)!);
    else if (name.endsWith(".weight")) {
      const scales = scalesOf(file, scope);
      const kernelSize = sizeOf(shape.slice(1));
      const weight = file.get(`${scope}.conv.weight`)!.data.map((w, i) => w * scales[Math.floor(i / kernelSize)]!);
      folded.set(name, float32(weight, shape));
      const means = file.get(`${scope}.bn.running_mean`)!.data;
      const biases = file.get(`${scope}.bn.bias`)!.data.map((b, o) => b - means[o]! * scales[o]!);
      folded.set(`${scope}.bias`, float32(biases));
    }
  }
  return folded;
}

function scalesOf(file: ReadonlyMap<string, NDArray<"float32">>, scope: string): Float64Array {
  const variances = file.get(`${scope}.bn.running_var`)!.data;
  return Float64Array.from(file.get(`${scope}.bn.weight`)!.data, (w, o) => w / Math.sqrt(variances[o]! + epsilon));
}

/** TensorFlow's scope → torchvision's units in it, in order. */
type Scopes = Readonly<Record<string, readonly string[]>>;

const series = (name: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${name}_${i + 1}`);

/** In a tower, units are numbered; those of the last kind of block have names of their own. */
const scopesOf: Readonly<Record<"A" | "B" | "C" | "D" | "E", Scopes>> = {
  A: {
    conv: ["branch1x1"],
    "tower.conv": series("branch5x5", 2),
    "tower_1.conv": series("branch3x3dbl", 3),
    "tower_2.conv": ["branch_pool"],
  },
  B: { conv: ["branch3x3"], "tower.conv": series("branch3x3dbl", 3) },
  C: {
    conv: ["branch1x1"],
    "tower.conv": series("branch7x7", 3),
    "tower_1.conv": series("branch7x7dbl", 5),
    "tower_2.conv": ["branch_pool"],
  },
  D: { "tower.conv": series("branch3x3", 2), "tower_1.conv": series("branch7x7x3", 4) },
  E: {
    conv: ["branch1x1"],
    tower_conv: ["branch3x3_1"],
    tower_mixed_conv: ["branch3x3_2a", "branch3x3_2b"],
    tower_1_conv: series("branch3x3dbl", 2),
    tower_1_mixed_conv: ["branch3x3dbl_3a", "branch3x3dbl_3b"],
    tower_2_conv: ["branch_pool"],
  },
};

/** Blocks in forward order; TensorFlow numbers them. */
const blocks = [
  ...(["5b", "5c", "5d"] as const).map((name) => [`Mixed_${name}`, scopesOf.A] as const),
  ["Mixed_6a", scopesOf.B] as const,
  ...(["6b", "6c", "6d", "6e"] as const).map((name) => [`Mixed_${name}`, scopesOf.C] as const),
  ["Mixed_7a", scopesOf.D] as const,
  ...(["7b", "7c"] as const).map((name) => [`Mixed_${name}`, scopesOf.E] as const),
];
const stem = ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"];

/** The first has no number. */
const numbered = (name: string, i: number): string => (i === 0 ? name : `${name}_${i}`);

/** torchvision's unit → TensorFlow's: `Mixed_6d.branch7x7_2` → `mixed_6.tower.conv_1`. */
function unitNames(): Map<string, string> {
  const names = new Map(stem.map((ours, i) => [ours, numbered("conv", i)]));
  for (const [i, [block, scopes]] of blocks.entries()) {
    for (const [scope, units] of Object.entries(scopes)) {
      for (const [k, unit] of units.entries()) {
        names.set(`${block}.${unit}`, `${numbered("mixed", i)}.${numbered(scope, k)}`);
      }
    }
  }
  return names;
}

/** torchvision's name in a file → NVIDIA's; its normalisations have no weight, which is 1 in all of TensorFlow's graph. */
export function nvidiaNames(): ReadonlyMap<string, string> {
  const parts = { "conv.weight": "weight", "bn.bias": "beta", "bn.running_mean": "mean", "bn.running_var": "var" };
  const convolutions = Array.from(unitNames()).flatMap(([ours, theirs]) =>
    Object.entries(parts).map(([part, name]) => [`${ours}.${part}`, `layers.${theirs}.${name}`] as const),
  );
  return new Map([...convolutions, ["fc.weight", "output.weight"], ["fc.bias", "output.bias"]]);
}
