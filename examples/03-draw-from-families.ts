/**
 * Three families behind one interface. A SiT is trained as a flow, a MAR as a diffusion of masked tokens, a DiT as
 * Gaussian diffusion, and each is sampled by samplers of its own; no line asks which family a model is. Sizes are tiny, so
 * that it runs in seconds: the images are noise. `node --conditions=source --import tsx examples/03-draw-from-families.ts`
 * runs it.
 */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sample, train } from "tinyfusion";

const folder = mkdtempSync(join(tmpdir(), "tinyfusion-example-"));
const image = { inputSize: 28, patchSize: 7, inChannels: 1, numClasses: 10 };
const dit = { ...image, hiddenSize: 32, depth: 2, numHeads: 2 }; // without a family's name it is a DiT
const sit = { ...dit, family: "sit" };
const encoder = { encoderDepth: 1, encoderSize: 32, encoderHeads: 2 };
const decoder = { decoderDepth: 1, decoderSize: 32, decoderHeads: 2 };
const denoiser = { denoiserDepth: 2, denoiserSize: 32 };
const mar = { ...image, family: "mar", bufferSize: 4, ...encoder, ...decoder, ...denoiser };

const samplings = {
  dit: [{ steps: "ddim5" }, { steps: "5", sampler: "ddpm" }],
  sit: [
    { sampler: "euler", steps: "6" },
    { sampler: "dopri5", rtol: 0.05, atol: 0.05 },
    { sampler: "euler-maruyama", steps: "6" },
  ],
  mar: [{ steps: "4", headSteps: "5" }],
} as const;

for (const [name, config] of Object.entries({ dit, sit, mar })) {
  const modelConfig = join(folder, `${name}.json`);
  writeFileSync(modelConfig, JSON.stringify(config));
  const short = { steps: 10, batchSize: 8, learningRate: 1e-3, threads: 1 };
  const trained = await train({ modelConfig, out: join(folder, name), ...short });
  if (!trained.finished) throw new Error("stopped");
  for (const [i, sampling] of samplings[name as keyof typeof samplings].entries()) {
    const out = join(folder, `${name}-samples-${i}`);
    const { files } = await sample({ file: trained.ema, count: 10, out, threads: 1, ...sampling });
    console.log(`${name} ${JSON.stringify(sampling)}: ${files.grid}`);
  }
}
