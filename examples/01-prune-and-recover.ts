/**
 * The whole method as a program: train a small teacher, learn which of its blocks to keep, recover the shallow model,
 * draw digits. Sizes are tiny, so that it runs in seconds: the pictures are noise. `npm run examples` runs it.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  cpuEngine,
  defaultProcess,
  finetuneDefaults,
  finetuneTask,
  layerMap,
  learnDefaults,
  learnMasks,
  loadDigits,
  loadModel,
  parseGroups,
  sampleImages,
  saveModel,
  savePruned,
  type Task,
  trainDefaults,
  trainingSet,
  trainTask,
  writeAtomically,
} from "tinyfusion";
import { encodePng, imageGrid } from "tinyfusion/formats";
import { modelOf } from "tinyfusion/models";

const folder = mkdtempSync(join(tmpdir(), "tinyfusion-example-"));
const engine = cpuEngine({ threads: 1 });
const data = trainingSet(loadDigits().train, 10);
const size = { steps: 10, batchSize: 8, microBatch: 8 };

/** Runs all steps. `runLoop` with a `RunFolder` does the same with logs, checkpoints and resuming. */
async function run(name: string, task: Task): Promise<void> {
  for (let k = 0; k < size.steps; k++) {
    const { terms } = await task.step(k);
    if (k === 0 || k === size.steps - 1) console.log(`${name}: step ${k + 1}, loss ${terms.loss!.toFixed(3)}`);
  }
  await task.release?.();
}

// 1. A teacher of 4 blocks.
const sizes = { inputSize: 28, patchSize: 7, inChannels: 1, hiddenSize: 32, numHeads: 2, numClasses: 10 };
const model = modelOf({ ...sizes, depth: 4 });
const training = await trainTask(engine, model, data, {
  ...trainDefaults,
  ...size,
  process: defaultProcess,
  learningRate: { ...trainDefaults.learningRate, base: 1e-3 },
});
await run("teacher", training);
const facts = { weights: "ema" as const, images: 80, prunings: [], process: defaultProcess };
await saveModel(join(folder, "teacher.safetensors"), model, training.checkpoint().files.ema, facts);
const teacher = await loadModel(join(folder, "teacher.safetensors"));

// 2. Learn which block of every two stays.
const groups = parseGroups("1:2", model.config.depth);
const { learning, trainer } = await learnMasks(engine, teacher, groups, data, {
  ...{ ...learnDefaults, ...size },
  process: teacher.process,
});
await run("search", learning);
await trainer.release();
const { kept, confidence } = learning.decision(size.steps);
console.log(`kept blocks ${kept.join(", ")}; confidence ${confidence.map((p) => p.toFixed(2)).join(", ")}`);
const pairs = layerMap("paper", model.config.depth, kept, groups);
await savePruned(join(folder, "pruned.safetensors"), teacher, { kept, groups, layerMap: pairs });

// 3. Recover with masked distillation: teacher and student in one graph.
const student = await loadModel(join(folder, "pruned.safetensors"));
const distill = { ...finetuneDefaults.distill, layerMap: pairs };
const recovery = await finetuneTask(engine, student, teacher, data, {
  ...{ ...finetuneDefaults, ...size, distill },
  process: student.process,
});
await run("recovery", recovery);

// 4. Draw.
const { images: drawn } = await sampleImages({
  ...{ engine, model: student.model, weights: recovery.checkpoint().files.ema },
  ...{ labels: 20, seed: 0, steps: "5", process: student.process },
});
await writeAtomically(join(folder, "grid.png"), encodePng(imageGrid(drawn, 10)));
console.log(`${student.model.config.depth} of ${model.config.depth} blocks; ${join(folder, "grid.png")}`);
