/**
 * Are the pictures any good? Draws digits into a folder, looks at them and at real ones with the same network, and compares
 * what it saw: the parts first, then all scores at once. `node --conditions=source --import tsx examples/05-judge-images.ts` runs it. For
 * ImageNet, `openInception` takes the place of `openDigitNetwork`; nothing else changes.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  cpuEngine,
  digitImages,
  extractFeatures,
  frechetDistance,
  gaussianStats,
  generateSet,
  makeReference,
  modelCost,
  openDigitNetwork,
  openImageSet,
  openModel,
  precisionRecall,
  type Reference,
  readReferenceFile,
  type SamplingSettings,
  scoreDefaults,
  scoreImages,
  withMetricKernels,
  writeReferenceFile,
} from "tinyfusion";

const folder = mkdtempSync(join(tmpdir(), "tinyfusion-example-"));
const threads = 2;
const engine = cpuEngine({ threads });

// 1. A model draws into a folder of shards. A second call would draw what is missing, and nothing of what is there.
const { model, tensors: weights, process, path, sha256 } = await openModel("models/digits/teacher.safetensors");
const sampling: SamplingSettings = { sampler: "dpm++2m", steps: "ddim8", cfgScale: 2 };
const out = join(folder, "digits");
const drawn = await generateSet({
  ...{ engine, model, weights, process, out, count: 64, seed: 0, ...sampling },
  labels: { mode: "balanced", classes: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] },
  metadata: { modelFile: { path, sha256 } }, // what else decides on the images, kept beside them
  ...{ threads, versions: {} },
});
const { macs } = modelCost(model);
console.log(`${drawn.drawn} digits in ${drawn.file}, ${(macs / 1e6).toFixed(0)} million MACs an evaluation`);

// 2. A reference is made once, of real images, and kept in a file.
const network = await openDigitNetwork(engine);
const samples = await openImageSet(out);
const features = await extractFeatures({ network, images: samples });
const stored = join(folder, "training-digits.npz");

await withMetricKernels(engine, async (kernels) => {
  await writeReferenceFile(stored, await makeReference({ kernels, network, images: digitImages("train"), keep: 1000 }));
  const heldOut = await extractFeatures({ network, images: digitImages("heldOut") });
  const reference: Reference = { ...(await readReferenceFile(stored)), heldOut: heldOut.pooled };

  // 3. Metrics are functions of features and know neither network nor files.
  const fitted = await gaussianStats(kernels, features.pooled);
  const { distance, meanTerm } = await frechetDistance(kernels, reference.pooled, fitted);
  const { precision, recall } = await precisionRecall(kernels, reference.features!, features.pooled);
  console.log(`Fréchet distance ${distance.toFixed(2)}, of which ${meanTerm.toFixed(2)} between the means`);
  console.log(`precision ${precision.toFixed(3)}, recall ${recall.toFixed(3)}`);

  // 4. Or all at once, with standard errors, the score of real images, and what a reader should know.
  const evaluation = await scoreImages({
    ...{ kernels, network, images: samples, features, reference, settings: scoreDefaults },
  });
  for (const { name, value, standardError, better } of evaluation.scores) {
    const error = standardError === undefined ? "" : ` ± ${standardError.toPrecision(2)}`;
    console.log(`  ${name}: ${value.toFixed(3)}${error} (${better} is better)`);
  }
  for (const warning of evaluation.warnings) console.log(`  note: ${warning}`);

  const whole = evaluation.scores.find(({ key }) => key === "frechet")!;
  if (Math.abs(whole.value / distance - 1) > 1e-6) throw new Error(`expected ${distance}, got ${whole.value}`);
});
await network.release();
