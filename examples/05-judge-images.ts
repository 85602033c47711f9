/**
 * How good are the images? Samples digits into a folder and scores them against real ones: all scores by one task, then
 * one of them by hand. `node --conditions=source --import tsx examples/05-judge-images.ts` runs it. For ImageNet, give
 * `features: "inception"` and a `reference`, and `openInception` takes the place of `openDigitNetwork`.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  digitImages,
  evaluate,
  extractFeatures,
  frechetDistance,
  gaussianStats,
  generate,
  openDevice,
  openDigitNetwork,
  openImageSet,
  withMetricKernels,
} from "tinyfusion";

const out = join(mkdtempSync(join(tmpdir(), "tinyfusion-example-")), "digits");

// 1. A model samples into a folder of shards. A second call would sample what is missing, and nothing of what is there.
const sampling = { sampler: "dpm++2m", steps: "ddim8", cfg: 2 } as const;
const set = await generate({
  file: "models/digits/teacher.safetensors",
  count: 64,
  labels: "balanced",
  out,
  ...sampling,
});
console.log(`${set.newImages} digits in ${set.file}`);

// 2. All scores, with standard errors, the score of real images, and what a reader should know; and a page of them.
const { evaluation, files } = await evaluate({ input: out, out: `${out}-scores` });
for (const { name, value, standardError, better } of evaluation.scores) {
  const error = standardError === undefined ? "" : ` ± ${standardError.toPrecision(2)}`;
  console.log(`  ${name}: ${value.toFixed(3)}${error} (${better} is better)`);
}
for (const warning of evaluation.warnings) console.log(`  note: ${warning}`);
console.log(files.report);

// 3. Metrics are functions of features and know neither network nor files.
const engine = openDevice("cpu", { threads: 2 });
const network = await openDigitNetwork(engine);
const samples = await extractFeatures({ network, images: await openImageSet(out) });
const real = await extractFeatures({ network, images: digitImages("train") });
await withMetricKernels(engine, async (kernels) => {
  const [ours, theirs] = [await gaussianStats(kernels, samples.pooled), await gaussianStats(kernels, real.pooled)];
  const { distance, meanTerm } = await frechetDistance(kernels, theirs, ours);
  console.log(`Fréchet distance ${distance.toFixed(2)}, of which ${meanTerm.toFixed(2)} between the means`);
  const whole = evaluation.scores.find(({ key }) => key === "frechet")!;
  if (Math.abs(whole.value / distance - 1) > 1e-6) throw new Error(`expected ${distance}, got ${whole.value}`);
});
await network.release();
