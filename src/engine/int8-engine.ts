/** Linear layers in int8 on any engine that has the products: constant weights are quantized once, when a graph is compiled. */
import { NDArray } from "../array/ndarray.ts";
import { asFloat32 } from "../formats/float16.ts";
import { parameter } from "../graph/build.ts";
import { type Graph, leavesOf, nodesOf } from "../graph/graph.ts";
import { QUANTIZED_MAX, SMALLEST_RANGE } from "../graph/op.ts";
import { type WeightFilter, withPrecision } from "../graph/precision.ts";
import { rewriteGraph } from "../graph/rewrite.ts";
import { isOp } from "../graph/tensor.ts";
import type { Engine, Weight } from "./engine.ts";

/** The engine with the linear layers of `layers` in int8; weights that are fed are quantized at each run. */
export function int8Engine(engine: Engine, layers: WeightFilter): Engine {
  return {
    ...engine,
    async compile(graph, { constants = new Map(), ...options } = {}) {
      const { graph: low, weights } = withStoredInt8(withPrecision(graph, "int8", layers), (name) =>
        constants.has(name),
      );
      const read = leavesOf(nodesOf(Object.values(low.outputs)), "parameter");
      const kept = new Map<string, Weight>([...constants].filter(([name]) => read.has(name)));
      for (const weight of weights) {
        const { int8, range } = quantizedWeight(await readFloats(constants.get(weight.name)!));
        kept.set(weight.int8, int8).set(weight.range, range);
      }
      return engine.compile(low, { ...options, constants: kept });
    },
  };
}

/** A weight [O, I] and the names under which its whole numbers [I, O] and ranges [O] are stored. */
export interface StoredInt8 {
  readonly name: string;
  readonly int8: string;
  readonly range: string;
}

/** The graph that reads some weights as they are after `quantizeWeight`, under names that no checkpoint has. */
export function withStoredInt8(
  graph: Graph,
  isStored: (name: string) => boolean,
): { readonly graph: Graph; readonly weights: readonly StoredInt8[] } {
  const weights: StoredInt8[] = [];
  const rewritten = rewriteGraph(graph, (node, [w]) => {
    if (!isOp(node, "quantizeWeight") || !isOp(w!.node, "parameter")) return undefined;
    const { name, shape } = w!.node.attributes;
    if (!isStored(name)) return undefined;
    const stored = { name, int8: `${name} int8`, range: `${name} range` };
    weights.push(stored);
    return [parameter(stored.int8, [shape[1]!, shape[0]!], "int8"), parameter(stored.range, [shape[0]!])];
  });
  return { graph: rewritten, weights };
}

const readFloats = async (weight: Weight): Promise<NDArray> =>
  asFloat32(weight instanceof NDArray ? weight : await weight.read());

/** Added to a float32 and taken off again, it leaves the nearest whole number, of two the even one. */
const ROUNDING = 1.5 * 2 ** 23;

/** What `quantizeWeight` computes of a weight [O, I], to the bit. */
export function quantizedWeight(weight: NDArray): { int8: NDArray<"int8">; range: NDArray<"float32"> } {
  const [out, inner] = weight.shape as readonly [number, number];
  const values = weight.data as Float32Array;
  const [int8, range] = [new Int8Array(out * inner), new Float32Array(out)];
  const step = Math.fround(1 / QUANTIZED_MAX);
  for (let o = 0; o < out; o++) {
    const row = values.subarray(o * inner, (o + 1) * inner);
    let largest = SMALLEST_RANGE;
    for (const w of row) largest = Math.max(largest, Math.abs(w));
    range[o] = largest;
    for (let i = 0; i < inner; i++) {
      const steps = Math.fround(Math.fround(row[i]! / largest) / step);
      int8[i * out + o] = Math.fround(steps + ROUNDING) - ROUNDING;
    }
  }
  return { int8: new NDArray("int8", [inner, out], int8), range: new NDArray("float32", [out], range) };
}
