/** A full training step of DiT-S/2 against the same matrix products and nothing else. Target: ≥ 0.75 of their speed. */
import { float32, type NDArray } from "../src/array/ndarray.ts";
import { cpuEngine } from "../src/engine/onnx/cpu-engine.ts";
import { input, slice } from "../src/graph/build.ts";
import { expand } from "../src/graph/expand.ts";
import { nodesOf } from "../src/graph/graph.ts";
import { applySame } from "../src/graph/rewrite.ts";
import { simplify } from "../src/graph/simplify.ts";
import { isOp, type Node, type Tensor } from "../src/graph/tensor.ts";
import { preset } from "../src/models/presets.ts";
import { flag, interleaved, machine, median, pairedRatio, peakGigabytes } from "./measure.ts";
import { awakeWeights, fullGradientGraph, randomBatch } from "./models.ts";

const products = new Set(["linear", "linearWeightGradient", "matmul"]);

const sizeOf = (x: Tensor): number => (x.shape as readonly number[]).reduce((a, b) => a * b, 1);

/** Every product of the graph, each on inputs of its own (so that none is merged with another); arrays are shared by shape. */
function productsOnly(nodes: readonly Node[]) {
  const outputs: Record<string, Tensor> = {};
  const feeds: Record<string, NDArray> = {};
  const arrays = new Map<string, NDArray>();
  const arrayOf = (x: Tensor): NDArray => {
    const key = String(x.shape);
    if (!arrays.has(key))
      arrays.set(key, float32(new Float32Array(sizeOf(x)).fill(0.01), x.shape as readonly number[]));
    return arrays.get(key)!;
  };
  const wanted = nodes.filter(({ op }) => products.has(op));
  for (const node of wanted) {
    const own = node.inputs.map((x, i) => {
      const name = `operand ${node.id}.${i}`;
      feeds[name] = arrayOf(x);
      return input(name, x.shape);
    });
    // One number of each result keeps it alive; the rest is freed at once, as in the training step.
    outputs[`product ${node.id}`] = corner(applySame(node, own).outputs[0]!);
  }
  const flops = wanted.reduce((total, node) => total + 2 * sizeOf(node.outputs[0]!) * innerSize(node), 0);
  return { outputs, feeds, flops, count: wanted.length };
}

/** The first element along every axis. */
const corner = (x: Tensor): Tensor => x.shape.reduce<Tensor>((part, _, axis) => slice(part, axis, 0, 1), x);

/** Length of the sums in a product. */
function innerSize(node: Node): number {
  const [a, b] = node.inputs as [Tensor, Tensor];
  if (isOp(node, "matmul")) return a.shape.at(node.attributes.transposeA ? -2 : -1) as number;
  return node.op === "linear" ? (b.shape[1] as number) : sizeOf(a) / (a.shape.at(-1) as number);
}

const model = preset(flag("model", "DiT-S/2"));
const rows = Number(flag("rows", "8"));
const rounds = Number(flag("rounds", "7"));
const engine = cpuEngine({ threads: Number(flag("threads", "2")) });
const { graph, p } = fullGradientGraph(model, rows);
const lowered = expand(simplify(graph), ["attention"]);
const nodes = nodesOf(Object.values(simplify(lowered).outputs));
const bound = productsOnly(nodes);
const full = await engine.compile(graph);
const weights = Object.fromEntries(awakeWeights(p.specs()));
const feeds = { ...weights, ...randomBatch(model, rows) };
/** As a trainer does: the gradients' memory is given back for the next step. */
async function step(): Promise<void> {
  for (const array of Object.values(await full.run(feeds))) array.release();
}
await step();
const peak = peakGigabytes();
const gemm = await engine.compile({ outputs: bound.outputs });
const times = await interleaved(
  {
    step,
    products: async () => void (await gemm.run(bound.feeds)),
  },
  rounds,
);
const [whole, only] = [median(times.step!), median(times.products!)];
console.log(machine());
console.log(
  `${flag("model", "DiT-S/2")}, ${rows} images, float32, full gradients; medians of ${rounds} interleaved rounds`,
);
console.log(
  `training step ${whole.toFixed(0)} ms, ${(bound.flops / whole / 1e6).toFixed(0)} GFLOPS; peak memory ${peak?.toFixed(2)} GB (target ≤ 3)`,
);
console.log(
  `the same ${bound.count} matrix products alone ${only.toFixed(0)} ms, ${(bound.flops / only / 1e6).toFixed(0)} GFLOPS`,
);
console.log(`ratio ${pairedRatio(times.products!, times.step!).toFixed(3)} (target ≥ 0.75)`);
