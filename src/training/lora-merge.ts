/** Folding low-rank updates into the weights they adapt. */
import { float32, type NDArray } from "../array/ndarray.ts";
import type { LoraSettings } from "./lora.ts";

/** W + (α / r) B A for every weight with factors among `adapters`; the others as they are. */
export function mergeLora(
  weights: ReadonlyMap<string, NDArray<"float32">>,
  adapters: ReadonlyMap<string, NDArray<"float32">>,
  { rank, alpha }: LoraSettings,
): Map<string, NDArray<"float32">> {
  return new Map(
    Array.from(weights, ([name, weight]) => {
      const layer = name.replace(/\.weight$/, "");
      const a = adapters.get(`${layer}.lora_a.weight`);
      const b = adapters.get(`${layer}.lora_b.weight`);
      return [name, a && b ? addProduct(weight, b, a, alpha / rank) : weight] as const;
    }),
  );
}

/** weight + scale · b a: weight [O, I], b [O, r], a [r, I]. */
function addProduct(
  weight: NDArray<"float32">,
  b: NDArray<"float32">,
  a: NDArray<"float32">,
  scale: number,
): NDArray<"float32"> {
  const [rank, inSize] = a.shape as readonly [number, number];
  const sum = Float32Array.from(weight.data);
  for (let o = 0; o < b.shape[0]!; o++) {
    for (let r = 0; r < rank; r++) {
      const factor = scale * b.data[o * rank + r]!;
      for (let i = 0; i < inSize; i++) sum[o * inSize + i]! += factor * a.data[r * inSize + i]!;
    }
  }
  return float32(sum, weight.shape);
}
