/**
 * Sampling with all blocks against every second one, for the digit model of each family, in one run. Target: ≥ 1.8× where
 * the blocks dominate. A MAR's denoiser of tokens is not pruned; what stays when no block is left is reported apart.
 */
import { familyPlans } from "../src/cli/demo/plan.ts";
import { processOf } from "../src/diffusion/process.ts";
import { cpuEngine } from "../src/engine/onnx/cpu-engine.ts";
import { preset } from "../src/models/presets.ts";
import { runOnly } from "../src/nn/run-block.ts";
import { compileSampler } from "../src/sampling/compile-sampler.ts";
import type { ImageSampler } from "../src/sampling/image-sampler.ts";
import { weightSpecs } from "../src/weights/model-file.ts";
import { flag, interleaved, machine, median, pairedRatio } from "./measure.ts";
import { awakeWeights } from "./models.ts";

const engine = cpuEngine({ threads: Number(flag("threads", "2")) });
const rounds = Number(flag("rounds", "7"));
const BATCH = 32;

console.log(machine());
const presets = { dit: "DiT-Digits", sit: "SiT-Digits", mar: "MAR-Digits" };
for (const [name, { quickSampling }] of Object.entries(familyPlans)) {
  const { family, config } = preset(presets[name as keyof typeof presets]);
  const weights = awakeWeights(weightSpecs({ family, config }));
  const all = Array.from({ length: config.depth }, (_, i) => i);
  const samplers: Record<string, ImageSampler> = {};
  for (const [label, kept] of [
    ["all", all],
    ["half", all.filter((i) => i % 2 === 1)],
    ["none", []],
  ] as const) {
    samplers[label] = await compileSampler(
      { engine, model: { family, config }, weights, seed: 0, batch: BATCH, runBlock: runOnly(kept) },
      processOf(family.process),
      { ...quickSampling, cfgScale: quickSampling.cfg },
    );
  }
  const y = Int32Array.from({ length: BATCH }, (_, i) => i % config.numClasses);
  const draw = (sampler: ImageSampler) => async () => {
    await sampler.sample({ first: 0, y, rows: BATCH, onModelEvaluation: () => {} });
  };
  const candidates = Object.entries(samplers).map(([label, sampler]) => [label, draw(sampler)] as const);
  const times = await interleaved(Object.fromEntries(candidates), rounds);
  const [full, half, none] = [times.all!, times.half!, times.none!];
  const blocks = median(full.map((time, i) => (time - none[i]!) / (half[i]! - none[i]!)));
  console.log(
    `${name}: ${BATCH} images, ${config.depth} blocks ${median(full).toFixed(0)} ms, half of them ` +
      `${median(half).toFixed(0)} ms, ratio ${pairedRatio(full, half).toFixed(2)} (target ≥ 1.8); without blocks ` +
      `${median(none).toFixed(0)} ms, ${((100 * median(none)) / median(full)).toFixed(0)}% of all; blocks alone ${blocks.toFixed(2)}`,
  );
  for (const sampler of Object.values(samplers)) await sampler.release();
}
