/** Linear layers in int8 on any engine that has the products: constant weights are quantized once, when a graph is compiled. */
import { NDArray } from "../array/ndarray.ts";
import { asFloat32 } from "../formats/float16.ts";
import type { StoredTensor } from "../formats/weight-file.ts";
import { parameter } from "../graph/build.ts";
import { type Graph, leavesOf, nodesOf } from "../graph/graph.ts";
import { QUANTIZED_MAX, SMALLEST_RANGE } from "../graph/op.ts";
import { type WeightFilter, withPrecision } from "../graph/precision.ts";
import { rewriteGraph } from "../graph/rewrite.ts";
import { isOp } from "../graph/tensor.ts";
import type { Engine, Weight, Weights } from "./engine.ts";

/** The engine with the linear layers of `layers` in int8; weights that are fed are quantized at each run. */
export function int8Engine(engine: Engine, layers: WeightFilter): Engine {
  return {
    ...engine,
    async compile(graph, { constants = new Map(), ...options } = {}) {
      const { graph: low, kept, quantized } = int8Graph(graph, constants, layers);
      const weights = new Map<string, Weight>(kept);
      for (const [name, weight] of quantized) weights.set(name, await weight.read());
      return engine.compile(low, { ...options, constants: weights });
    },
  };
}

/** A graph with layers in int8, and its weights. */
export interface Int8Graph {
  readonly graph: Graph;
  /** Those that are read as they are. */
  readonly kept: Weights;
  /** Whole numbers [I, O] and ranges [O] of the others, under names that no checkpoint has; computed when they are read. */
  readonly quantized: ReadonlyMap<string, StoredTensor>;
}

/** The graph in int8 that reads `weights` as they are after `quantizeWeight`. */
export function int8Graph(graph: Graph, weights: Weights, layers: WeightFilter): Int8Graph {
  const quantized = new Map<string, StoredTensor>();
  const low = rewriteGraph(withPrecision(graph, "int8", layers), (node, [w]) => {
    if (!isOp(node, "quantizeWeight") || !isOp(w!.node, "parameter")) return undefined;
    const { name, shape } = w!.node.attributes;
    const weight = weights.get(name);
    if (!weight) return undefined;
    const [out, inner] = shape as readonly [number, number];
    const stored = (kind: "int8" | "range", of: Pick<StoredTensor, "dtype" | "shape">, read: typeof wholeNumbers) => {
      const tensor = { ...of, name: `${name} ${kind}`, read: async () => read(await readFloats(weight)) };
      quantized.set(tensor.name, tensor);
      return parameter(tensor.name, of.shape, kind === "int8" ? "int8" : "float32");
    };
    return [
      stored("int8", { dtype: "int8", shape: [inner, out] }, wholeNumbers),
      stored("range", { dtype: "float32", shape: [out] }, ranges),
    ];
  });
  const read = leavesOf(nodesOf(Object.values(low.outputs)), "parameter");
  return { graph: low, kept: new Map([...weights].filter(([name]) => read.has(name))), quantized };
}

const readFloats = async (weight: Weight): Promise<NDArray> =>
  asFloat32(weight instanceof NDArray ? weight : await weight.read());

/** The largest |w| of each output channel of a weight [O, I]. */
function ranges({ shape, data }: NDArray): NDArray {
  const [out, inner] = shape as readonly [number, number];
  const values = Float32Array.from({ length: out }, (_, o) => {
    let largest = SMALLEST_RANGE;
    for (let i = o * inner; i < (o + 1) * inner; i++) largest = Math.max(largest, Math.abs(data[i] as number));
    return largest;
  });
  return new NDArray("float32", [out], values) as NDArray;
}

/** Added to a float32 and taken off again, it leaves the nearest whole number, of two the even one. */
const ROUNDING = 1.5 * 2 ** 23;

/** What `quantizeWeight` computes of a weight [O, I], to the bit. */
function wholeNumbers(weight: NDArray): NDArray {
  const [out, inner] = weight.shape as readonly [number, number];
  const [values, largest] = [weight.data as Float32Array, ranges(weight).data as Float32Array];
  const int8 = new Int8Array(out * inner);
  const step = Math.fround(1 / QUANTIZED_MAX);
  for (let o = 0; o < out; o++) {
    for (let i = 0; i < inner; i++) {
      const steps = Math.fround(Math.fround(values[o * inner + i]! / largest[o]!) / step);
      int8[i * out + o] = Math.fround(steps + ROUNDING) - ROUNDING;
    }
  }
  return new NDArray("int8", [inner, out], int8) as NDArray;
}
