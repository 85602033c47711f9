/**
 * Three families behind one interface. A SiT is trained as a flow, a MAR as a diffusion of masked tokens, a DiT as
 * Gaussian diffusion, and each is drawn from by samplers of its own; no line asks which family a model is. Sizes are tiny,
 * so that it runs in seconds: the pictures are noise. `node --conditions=source --import tsx examples/03-draw-from-families.ts` runs it.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  cpuEngine,
  loadDigits,
  processOf,
  processText,
  type SamplingSettings,
  sampleImages,
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
const image = { inputSize: 28, patchSize: 7, inChannels: 1, numClasses: 10 };

// A family is named in the configuration; without a name it is a DiT.
const transformer = { ...image, hiddenSize: 32, depth: 2, numHeads: 2 };
const mar = {
  ...{ ...image, family: "mar", bufferSize: 4, denoiserDepth: 2, denoiserSize: 32 },
  ...{ encoderDepth: 1, encoderSize: 32, encoderHeads: 2, decoderDepth: 1, decoderSize: 32, decoderHeads: 2 },
};

// Each with the samplers to draw with, and their settings.
const tried: readonly (readonly [config: object, samplings: readonly SamplingSettings[]])[] = [
  [transformer, [{ steps: "ddim5" }, { steps: "5", sampler: "ddpm" }]],
  [
    { ...transformer, family: "sit" },
    [
      { sampler: "euler", steps: "6" },
      { sampler: "dopri5", rtol: 0.05, atol: 0.05 },
      { sampler: "euler-maruyama", steps: "6" },
    ],
  ],
  [mar, [{ steps: "4", headSteps: "5" }]],
];

for (const [config, samplings] of tried) {
  const model = modelOf(config);
  const process = processOf(model.family.process);
  console.log(`${model.family.name}: ${processText(process)}`);
  const training = await trainTask(engine, model, data, {
    ...{ ...trainDefaults, ...size, process },
    learningRate: { ...trainDefaults.learningRate, base: 1e-3 },
  });
  for (let k = 0; k < size.steps; k++) {
    const { terms } = await training.step(k);
    if (k === 0 || k === size.steps - 1) console.log(`  step ${k + 1}, loss ${terms.loss!.toFixed(3)}`);
  }
  const weights = training.checkpoint().files.ema;
  for (const [i, sampling] of samplings.entries()) {
    let evaluations = 0;
    const { images } = await sampleImages({
      ...{ engine, model, weights, process, labels: 10, seed: 0, internalBatch: 10 },
      ...sampling,
      onProgress: (progress) => {
        evaluations = progress.evaluations;
      },
    });
    const path = join(folder, `${model.family.name}-${i}.png`);
    await writeAtomically(path, encodePng(imageGrid(images, 10)));
    console.log(`  ${JSON.stringify(sampling)}: ${evaluations} evaluations, ${path}`);
  }
  await training.release();
}
