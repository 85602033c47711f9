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
