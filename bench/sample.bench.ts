/** Sampling with all 28 layers against 14 of them, for digits and at DiT-S width. Target: ≥ 1.85×. */

import { int32 } from "../src/array/ndarray.ts";
import { withGuidance } from "../src/diffusion/predictor.ts";
import { defaultProcess, scheduleOf } from "../src/diffusion/process.ts";
import { reverseStep } from "../src/diffusion/samplers.ts";
import { respace } from "../src/diffusion/schedule.ts";
import { runAndRead } from "../src/engine/engine.ts";
import { cpuEngine } from "../src/engine/onnx/cpu-engine.ts";
import { input } from "../src/graph/build.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import { presets } from "../src/models/presets.ts";
import { type Model, modelOf, predictor } from "../src/models/registry.ts";
import { Params } from "../src/nn/params.ts";
import { runOnly } from "../src/nn/run-block.ts";
import { flag, interleaved, machine, median, pairedRatio, peakGigabytes } from "./measure.ts";
import { awakeWeights, randomBatch } from "./models.ts";

const engine = cpuEngine({ threads: Number(flag("threads", "2")) });
const rounds = Number(flag("rounds", "15"));
// A sampler stays in one session; for some ms after a change, the threads of the last session still spin on the cores.
const STEPS_PER_TURN = 5;
const schedule = respace(scheduleOf(defaultProcess), "ddim25");

/** One guided DDIM step with some of the blocks. */
async function stepWith(model: Model, rows: number, kept: readonly number[]): Promise<() => Promise<void>> {
  const p = new Params();
  const predict = (io: { x: Tensor; t: Tensor; y: Tensor }) => predictor(model, p, runOnly(kept))(io);
  const { inChannels, inputSize, numClasses } = model.config;
  const shape = [rows, inChannels, inputSize, inputSize];
  const inputs = {
    x: input("x", shape),
    index: input("index", [rows], "int32"),
    y: input("y", [rows], "int32"),
    noise: input("noise", shape),
  };
  const { sample } = reverseStep(
    withGuidance(predict, 2, inChannels, numClasses),
    schedule,
    { kind: "ddim", eta: 0, clip: false },
    inputs,
  );
  const session = await engine.compile({ outputs: { sample } });
  const batch = randomBatch(model, rows);
  const feeds = {
    ...Object.fromEntries(awakeWeights(p.specs())),
    x: batch.xStart!,
    noise: batch.noise!,
    y: batch.y!,
    index: int32(new Int32Array(rows).fill(12)),
  };
  return async () => {
    for (let step = 0; step < STEPS_PER_TURN; step++) await runAndRead(session, feeds);
  };
}

const perStep = (turns: readonly number[]): string => (median(turns) / STEPS_PER_TURN).toFixed(1);

console.log(machine());
const deepSmall = modelOf({ ...presets.get("DiT-S/2")!, depth: 28 });
for (const [label, model, rows] of [
  ["digits", modelOf(presets.get("DiT-Digits")!), 32],
  ["DiT-S width", deepSmall, 4],
] as const) {
  const all = Array.from({ length: 28 }, (_, i) => i);
  const full = await stepWith(model, rows, all);
  const half = await stepWith(
    model,
    rows,
    all.filter((i) => i % 2 === 1),
  );
  const times = await interleaved({ full, half }, rounds);
  console.log(
    `${label}: guided DDIM step of ${rows} images, 28 layers ${perStep(times.full!)} ms, 14 layers ${perStep(times.half!)} ms, ` +
      `ratio ${pairedRatio(times.full!, times.half!).toFixed(3)} (target ≥ 1.85)`,
  );
}
console.log(`peak memory ${peakGigabytes()?.toFixed(2)} GB`);
