/** Starting values of weights: functions of the seed and the weight's name. */
import { float32, type NDArray, sizeOf, zeros } from "../array/ndarray.ts";
import { normals, type RandomKey, uniforms } from "../array/random.ts";
import type { WeightSpec } from "./params.ts";

/** The starting value of each weight. */
export function initialWeights(specs: readonly WeightSpec[], seed: number): Map<string, NDArray<"float32">> {
  return new Map(specs.map((spec) => [spec.name, initialWeight(spec, seed)]));
}

/** The starting value of one weight. */
export function initialWeight({ name, shape, init }: WeightSpec, seed: number): NDArray<"float32"> {
  const size = sizeOf(shape);
  const key: RandomKey = { seed, purpose: `init ${name}`, step: 0, index: 0 };
  switch (init.kind) {
    case "zeros":
      return zeros("float32", shape);
    case "ones":
      return float32(new Float32Array(size).fill(1), shape);
    case "fixed":
      return init.value().reshape(shape);
    case "normal":
      return float32(
        normals(key, size).map((z) => z * init.std),
        shape,
      );
    case "uniform":
      return uniform(key, shape, init.bound);
    case "xavierUniform":
      return uniform(key, shape, Math.sqrt(6 / (shape[0]! + size / shape[0]!)));
  }
}

function uniform(key: RandomKey, shape: readonly number[], bound: number): NDArray<"float32"> {
  return float32(
    uniforms(key, sizeOf(shape)).map((u) => (2 * u - 1) * bound),
    shape,
  );
}
