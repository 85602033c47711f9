/**
 * Writes a model file of a preset with random weights, for measuring what real ones would cost:
 * `node --import tsx bench/xl/random-model.ts DiT-XL/2 /tmp/xl.safetensors [half]`.
 */
import { normals } from "../../src/array/random.ts";
import { processOf } from "../../src/diffusion/process.ts";
import { preset } from "../../src/models/presets.ts";
import { initialWeights } from "../../src/nn/init.ts";
import { saveModel, weightSpecs } from "../../src/weights/model-file.ts";

const [name = "DiT-XL/2", path = "model.safetensors", half] = process.argv.slice(2);
const model = preset(name);
const weights = initialWeights(weightSpecs(model), 0);
// One million numbers, used again and again: as after training, no branch is dead.
const noise = normals({ seed: 1, purpose: "random model", step: 0, index: 0 }, 1 << 20);
for (const [key, { data }] of weights) {
  if (key.endsWith("pos_embed")) continue;
  for (let i = 0; i < data.length; i++) data[i]! += 0.02 * noise[(i * 7 + key.length * 131) % noise.length]!;
}
const facts = { weights: "raw", images: 0, prunings: [], process: processOf(model.family.process) } as const;
await saveModel(path, model, weights, facts, half === "half");
