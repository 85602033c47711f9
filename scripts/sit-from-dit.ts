/**
 * Starts a SiT from a DiT of the same shape. A DiT on the cosine schedule predicts the noise of images
 * sin(πt/2) · data + cos(πt/2) · noise, which is the path "gvp" of a flow with t = 1 − (k + 1)/1000 for its step k. So all
 * weights are taken over, without the rows of the last layer that predict a variance, and with the first layer of the
 * timestep embedding rotated, since time runs the other way.
 * Usage: node --import tsx scripts/sit-from-dit.ts DIT.safetensors SIT.safetensors
 */
import { float32, type NDArray } from "../src/array/ndarray.ts";
import { processOf } from "../src/diffusion/process.ts";
import type { DiTConfig } from "../src/models/dit/config.ts";
import { modelOf } from "../src/models/registry.ts";
import { initialWeights } from "../src/nn/init.ts";
import { loadModel, saveModel, weightSpecs } from "../src/weights/model-file.ts";

const [from, to] = process.argv.slice(2);
if (from === undefined || to === undefined)
  throw new Error("usage: scripts/sit-from-dit.ts DIT.safetensors SIT.safetensors");
const dit = await loadModel(from);
const config = dit.model.config as DiTConfig;
// Noise divided by a vanishing share of data says nothing: sampling starts where there is some.
const flow = { path: "gvp", prediction: "noise", sampleEpsilon: 0.02 };
const sit = modelOf({ ...config, family: "sit", learnSigma: false, timeScale: 1000 });

/** Of each token's outputs (p, q, channel), those of the first half of the channels. */
function noiseRows({ shape, data }: NDArray): NDArray<"float32"> {
  const [rows, ...rest] = shape as readonly [number, ...number[]];
  const width = data.length / rows;
  const channels = 2 * config.inChannels;
  const kept = Array.from({ length: rows }, (_, row) => row).filter((row) => row % channels < config.inChannels);
  const values = kept.flatMap((row) => Array.from((data as Float32Array).subarray(row * width, (row + 1) * width)));
  return float32(Float32Array.from(values), [kept.length, ...rest]);
}

if (dit.process.kind !== "gaussian" || dit.process.schedule !== "squaredcos_cap_v2") {
  throw new Error(`${from}: expected a DiT of the schedule squaredcos_cap_v2`);
}
/** The weight of cos(k f), sin(k f) as one of cos(s f), sin(s f), where k = 999 − s. */
function reversedTime({ shape, data }: NDArray): NDArray<"float32"> {
  const [rows, columns] = shape as readonly [number, number];
  const half = columns / 2;
  const turned = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < half; i++) {
      const angle = 999 * Math.exp((-Math.log(10000) * i) / half);
      const [a, b] = [row * columns + i, row * columns + half + i].map((at) => Number(data[at])) as [number, number];
      turned[row * columns + i] = a * Math.cos(angle) + b * Math.sin(angle);
      turned[row * columns + half + i] = a * Math.sin(angle) - b * Math.cos(angle);
    }
  }
  return float32(turned, shape);
}

const weights = initialWeights(weightSpecs(sit), 0);
for (const name of weights.keys()) {
  const value = dit.tensors.get(name)!;
  const isLast = name.startsWith("final_layer.linear.") && config.learnSigma;
  const isTime = name === "t_embedder.mlp.0.weight";
  weights.set(name, isLast ? noiseRows(value) : isTime ? reversedTime(value) : value);
}
await saveModel(to, sit, weights, {
  weights: "raw",
  images: dit.images,
  prunings: [],
  process: processOf("flow", flow),
});
