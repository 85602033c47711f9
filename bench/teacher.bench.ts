/**
 * Is the task real? Label accuracy of the digit teacher, what 14 randomly dropped layers cost it (median of 20 masks, no
 * recovery; target ≥ 30 points), and the rise of its loss when one layer is skipped.
 */
import { permutation } from "../src/array/random.ts";
import { familyPlans } from "../src/cli/demo/plan.ts";
import { loadDigits } from "../src/data/digits.ts";
import { trainingSet } from "../src/data/training-set.ts";
import { cpuEngine } from "../src/engine/onnx/cpu-engine.ts";
import { scoreDigits } from "../src/evaluation/scores/digit-scores.ts";
import { scoreOf } from "../src/evaluation/scores/evaluation.ts";
import { runOnly } from "../src/nn/run-block.ts";
import { compileCalibrationLoss } from "../src/pruning/calibration.ts";
import { skipScores } from "../src/pruning/loss-pruners.ts";
import { sampleImages } from "../src/sampling/sample-images.ts";
import { loadModel } from "../src/weights/model-file.ts";
import { flag, machine, median } from "./measure.ts";

const path = flag("model", "models/digits/teacher.safetensors");
const engine = cpuEngine({ threads: Number(flag("threads", "2")) });
const file = await loadModel(path);
const { depth } = file.model.config;
const { sampling } = familyPlans[file.model.family.name as keyof typeof familyPlans];
const settings = { ...sampling, cfgScale: Number(flag("cfg", String(sampling.cfg))) };

async function accuracy(kept: readonly number[], images: number, seed: number): Promise<number> {
  const request = { engine, model: file.model, weights: file.tensors, labels: images, seed, ...settings };
  const drawn = await sampleImages({ ...request, process: file.process, runBlock: runOnly(kept) });
  return scoreOf(await scoreDigits({ engine, images: drawn.images, labels: drawn.labels }), "labelAccuracy").value;
}

console.log(machine());
const all = Array.from({ length: depth }, (_, i) => i);
const images = Number(flag("images", "200"));
const whole = await accuracy(all, images, 0);
console.log(`${path}: label accuracy ${(100 * whole).toFixed(1)}% (n = ${images}, ${JSON.stringify(settings)})`);
const masks = Number(flag("masks", "20"));
const drops: number[] = [];
for (let i = 0; i < masks; i++) {
  const order = permutation({ seed: 0, purpose: "random mask", step: i, index: 0 }, depth);
  const kept = Array.from(order.subarray(0, depth >> 1)).sort((a, b) => a - b);
  const found = await accuracy(kept, Number(flag("mask-images", "40")), 0);
  drops.push(whole - found);
  console.log(`mask ${String(i).padStart(2)}: ${(100 * found).toFixed(1)}%  kept ${kept.join(",")}`);
}
console.log(
  `median cost of dropping ${depth - (depth >> 1)} random layers: ${(100 * median(drops)).toFixed(1)} points (target ≥ 30)`,
);
const { heldOut } = loadDigits();
const data = trainingSet(heldOut, 10);
const loss = await compileCalibrationLoss(engine, file.model, data, { seed: 0, examples: 512, process: file.process });
console.log(
  `loss on 512 held-out examples ${(await loss.loss(file.tensors)).toFixed(5)}; rise when one layer is skipped:`,
);
const { scores: rises } = await skipScores(depth, (kept) => loss.loss(file.tensors, kept));
console.log(rises.map((rise, i) => `${i}: ${rise.toFixed(5)}`).join("  "));
await loss.release();
