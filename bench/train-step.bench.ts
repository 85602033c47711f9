/** A full training step of DiT-S/2 against the same matrix products and nothing else. Target: ≥ 0.75 of their speed. */
import { float32, type NDArray } from "../src/array/ndarray.ts";
import { input } from "../src/graph/build.ts";
import { expand } from "../src/graph/expand.ts";
import { nodesOf } from "../src/graph/graph.ts";
import { applySame } from "../src/graph/rewrite.ts";
import { simplify } from "../src/graph/simplify.ts";
import type { Node, Tensor } from "../src/graph/tensor.ts";
import { preset } from "../src/models/presets.ts";
import { cpuEngine } from "../src/onnx/node-engine.ts";
import { flag, interleaved, machine, median, pairedRatio, peakGigabytes } from "./measure.ts";
import { awakeWeights, fullGradientGraph, randomBatch } from "./models.ts";

const products = new Set(["linear", "linearWeightGradient", "matmul"]);

/** Every product of the graph on inputs of its own shapes, with its sum as the only use of the result. */
function productsOnly(nodes: readonly Node[]): {
  outputs: Record<string, Tensor>;
  feeds: Record<string, NDArray>;
  flops: number;
} {
  const outputs: Record<string, Tensor> = {};
  const feeds: Record<string, NDArray> = {};
  let flops = 0;
  const named = (x: Tensor): Tensor => {
    const shape = x.shape as readonly number[];
    const name = `x${shape.join("x")}`;
    feeds[name] ??= float32(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.01), shape);
    return input(name, shape);
  };
  for (const node of nodes.filter(({ op }) => products.has(op))) {
    const copy = applySame(node, node.inputs.map(named));
    outputs[`product ${node.id}`] = copy.outputs[0]!;
    flops += flopsOf(node);
  }
  return { outputs, feeds, flops };
}

function flopsOf({ op, inputs, outputs }: Node): number {
  const size = (x: Tensor) => (x.shape as readonly number[]).reduce((a, b) => a * b, 1);
  const rows = (x: Tensor) => size(x) / (x.shape.at(-1) as number);
  if (op === "linearWeightGradient") return 2 * size(outputs[0]!) * rows(inputs[0]!);
  const inner = op === "linear" ? (inputs[1]!.shape[1] as number) : size(inputs[0]!) / rows(outputs[0]!) / 1;
  return 2 * size(outputs[0]!) * (op === "linear" ? inner : innerOf(inputs[0]!, outputs[0]!));
}

/** The summed axis of a matmul: what the operand has besides the result's rows. */
const innerOf = (a: Tensor, y: Tensor): number => {
  const [m, k] = [a.shape.at(-2) as number, a.shape.at(-1) as number];
  return (y.shape.at(-2) as number) === m ? k : m;
};

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
const gradients = Object.fromEntries(
  p
    .specs()
    .filter(({ init }) => init.kind !== "fixed")
    .map(({ name, shape }) => [`d ${name}`, float32(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape)]),
);
await full.run(feeds, gradients);
const peak = peakGigabytes();
const gemm = await engine.compile({ outputs: bound.outputs });
const results = Object.fromEntries(
  Object.entries(bound.outputs).map(([name, x]) => [
    name,
    float32(new Float32Array((x.shape as readonly number[]).reduce((a, b) => a * b, 1)), x.shape as readonly number[]),
  ]),
);
const times = await interleaved(
  {
    step: async () => void (await full.run(feeds, gradients)),
    products: async () => void (await gemm.run(bound.feeds, results)),
  },
  rounds,
);
const [step, only] = [median(times.step!), median(times.products!)];
console.log(machine());
console.log(
  `${flag("model", "DiT-S/2")}, ${rows} images, float32, full gradients; medians of ${rounds} interleaved rounds`,
);
console.log(
  `training step ${step.toFixed(0)} ms, ${(bound.flops / step / 1e6).toFixed(0)} GFLOPS; peak memory ${peak?.toFixed(2)} GB (target ≤ 3)`,
);
console.log(`matrix products alone ${only.toFixed(0)} ms, ${(bound.flops / only / 1e6).toFixed(0)} GFLOPS`);
console.log(`ratio ${pairedRatio(times.products!, times.step!).toFixed(3)} (target ≥ 0.75)`);
