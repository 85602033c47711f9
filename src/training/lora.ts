/** Low-rank updates as a graph rewrite: y = x Wᵀ + b + (α / r) (x Aᵀ) Bᵀ for every linear layer (Hu et al. 2022, eq. 3). */
import { float32, type NDArray } from "../array/ndarray.ts";
import { linear } from "../graph/build.ts";
import { rewrite } from "../graph/rewrite.ts";
import { isOp, type Tensor } from "../graph/tensor.ts";
import { type Params, startAtZero } from "../nn/params.ts";
import { bounds, requireSettings } from "./check-settings.ts";

export interface LoraSettings {
  readonly rank: number;
  readonly alpha: number;
}

/** The paper's setting. */
export const loraDefaults: LoraSettings = { rank: 8, alpha: 16 };

/**
 * Gives every linear layer of the graphs its low-rank path. The factors are declared in `adapters` under the layer's
 * own name (`blocks.0.mlp.fc1.lora_a.weight`), so a layer that is traced twice shares them. B starts at zero.
 * @throws RangeError for a rank or an alpha that is out of its bound.
 */
export function withLora(tensors: readonly Tensor[], adapters: Params, { rank, alpha }: LoraSettings): Tensor[] {
  requireSettings({ "lora.rank": [rank, bounds.count], "lora.alpha": [alpha, bounds.positive] });
  return rewrite(tensors, (node, inputs) => {
    if (!isOp(node, "linear")) return undefined;
    const [x, weight, addend] = inputs as [Tensor, Tensor, Tensor?];
    const layer = isOp(weight.node, "parameter") ? /^(.*)\.weight$/.exec(weight.node.attributes.name)?.[1] : undefined;
    if (layer === undefined) return undefined;
    const [outSize, inSize] = weight.shape as readonly [number, number];
    const scope = adapters.at(layer);
    const a = scope.get("lora_a.weight", [rank, inSize], { kind: "uniform", bound: 1 / Math.sqrt(inSize) });
    const b = scope.get("lora_b.weight", [outSize, rank], startAtZero);
    const base = linear(x, weight, addend, node.attributes.scale);
    return [linear(linear(x, a), b, base, alpha / rank)];
  });
}

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
