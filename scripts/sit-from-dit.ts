/**
 * Starts a SiT from a DiT of the same shape: all weights are taken over but those that see the time, which has another
 * meaning, and the rows of the last layer that predict a variance. Velocity is data − noise, so the rows that predict
 * noise change their sign. Usage: node --import tsx scripts/sit-from-dit.ts DIT.safetensors SIT.safetensors
 */
import { float32, type NDArray } from "../src/array/ndarray.ts";
import { processOf } from "../src/diffusion/process.ts";
import type { DiTConfig } from "../src/models/dit/config.ts";
import { modelOf } from "../src/models/registry.ts";
import { initialWeights } from "../src/nn/init.ts";
import { loadModel, saveModel, weightSpecs } from "../src/training/model-file.ts";

const [from, to] = process.argv.slice(2);
if (from === undefined || to === undefined)
  throw new Error("usage: scripts/sit-from-dit.ts DIT.safetensors SIT.safetensors");
const dit = await loadModel(from);
const config = dit.model.config as DiTConfig;
const sit = modelOf({ ...config, family: "sit", learnSigma: false });

/** Of each token's outputs (p, q, channel), those of the first half of the channels, negated. */
function velocityRows({ shape, data }: NDArray): NDArray<"float32"> {
  const [rows, ...rest] = shape as readonly [number, ...number[]];
  const width = data.length / rows;
  const channels = 2 * config.inChannels;
  const kept = Array.from({ length: rows }, (_, row) => row).filter((row) => row % channels < config.inChannels);
  const values = kept.flatMap((row) =>
    Array.from((data as Float32Array).subarray(row * width, (row + 1) * width), (x) => -x),
  );
  return float32(Float32Array.from(values), [kept.length, ...rest]);
}

const weights = initialWeights(weightSpecs(sit), 0);
for (const name of weights.keys()) {
  const value = dit.tensors.get(name)!;
  if (name.startsWith("t_embedder.")) continue;
  weights.set(name, name.startsWith("final_layer.linear.") && config.learnSigma ? velocityRows(value) : value);
}
await saveModel(to, sit, weights, { weights: "raw", images: 0, prunings: [], process: processOf("flow") });
