/**
 * The whole method as a program: train a small teacher, learn which of its blocks to keep, recover the shallow model,
 * draw digits. Sizes are tiny, so that it runs in seconds: the pictures are noise. `npm run examples` runs it.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  adamWDefaults,
  cpuEngine,
  defaultProcess,
  digitPictures,
  distillDefaults,
  encodePng,
  finetuneTask,
  generate,
  imageGrid,
  layerMap,
  learnMasks,
  loadDigits,
  loadModel,
  loraDefaults,
  modelOf,
  parseGroups,
  saveModel,
  savePruned,
  scheduleOf,
  type Task,
  trainTask,
  writeAtomically,
} from "../src/index.ts"; // in a project of your own: from "tinyfusion"

const folder = mkdtempSync(join(tmpdir(), "tinyfusion-example-"));
const engine = cpuEngine({ threads: 1 });
const { images, labels } = loadDigits().train;
const data = { images: digitPictures(images), labels, numClasses: 10 };
const constant = (base: number) => ({ base, kind: "constant" as const, final: base, warmupSteps: 0 });
const settings = {
  ...{ seed: 0, steps: 10, batchSize: 8, microBatch: 8, learningRate: constant(1e-3), clipNorm: 1 },
  ...{ emaDecay: 0.999, emaWarmup: true, labelDrop: 0.1, process: defaultProcess, adamw: adamWDefaults },
};

/** Runs all steps. `runLoop` with a `RunFolder` does the same with logs, checkpoints and resuming. */
async function run(name: string, task: Task): Promise<void> {
  for (let k = 0; k < settings.steps; k++) {
    const { terms } = await task.step(k);
    if (k === 0 || k === settings.steps - 1) console.log(`${name}: step ${k + 1}, loss ${terms.loss!.toFixed(3)}`);
  }
}

// 1. A teacher of 4 blocks.
const sizes = { inputSize: 28, patchSize: 7, inChannels: 1, hiddenSize: 32, numHeads: 2, numClasses: 10 };
const model = modelOf({ ...sizes, depth: 4 });
const training = await trainTask(engine, model, data, settings);
await run("teacher", training);
const facts = { weights: "ema" as const, images: 80, prunings: [], process: defaultProcess };
await saveModel(join(folder, "teacher.safetensors"), model, training.checkpoint().files.ema, facts);
const teacher = loadModel(join(folder, "teacher.safetensors"));

// 2. Learn which block of every two stays.
const groups = parseGroups("1:2", model.config.depth);
const { learning } = await learnMasks(engine, teacher, groups, data, {
  ...settings,
  ...{ delta: "lora", lora: loraDefaults, execution: "routed", counterfactual: 1 },
  ...{ gateLearningRate: constant(1e-2), gateInit: 0.02, tau: [4, 0.1], scale: [100, 100] },
});
await run("search", learning);
const { kept, confidence } = learning.decision(settings.steps);
console.log(`kept blocks ${kept.join(", ")}; confidence ${confidence.map((p) => p.toFixed(2)).join(", ")}`);
const pairs = layerMap("paper", model.config.depth, kept, groups);
await savePruned(join(folder, "pruned.safetensors"), teacher, { kept, groups, layerMap: pairs });

// 3. Recover with masked distillation: teacher and student in one graph.
const student = loadModel(join(folder, "pruned.safetensors"));
const distill = { kind: "masked" as const, ...distillDefaults, layerMap: pairs };
const recovery = await finetuneTask(engine, student, teacher, data, { ...settings, distill, beta: 1e-2 });
await run("recovery", recovery);

// 4. Draw.
const { images: drawn } = await generate({
  ...{ engine, model: student.model, weights: recovery.checkpoint().files.ema },
  ...{ labels: 20, seed: 0, steps: "5", schedule: scheduleOf(student.process) },
});
await writeAtomically(join(folder, "grid.png"), encodePng(imageGrid(drawn, 10)));
console.log(`${student.model.config.depth} of ${model.config.depth} blocks; ${join(folder, "grid.png")}`);
