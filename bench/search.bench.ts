/** Does the demo's short search settle? Flips of the decision over time for several seeds; target: none after 70% of the run. */

import { familyPlans, groupsText, searchSettings, sizeOf } from "../src/cli/demo/plan.ts";
import { loadDigits } from "../src/data/digits.ts";
import { trainingSet } from "../src/data/training-set.ts";
import { cpuEngine } from "../src/engine/onnx/cpu-engine.ts";
import { parseGroups } from "../src/pruning/groups.ts";
import { type LearnSettings, learnDefaults, learnMasks } from "../src/pruning/learn.ts";
import { loadModel } from "../src/weights/model-file.ts";
import { flag, machine } from "./measure.ts";

const file = await loadModel(flag("model", "models/digits/teacher.safetensors"));
const seeds = flag("seeds", "0,1,2,3,4").split(",").map(Number);
const { train } = loadDigits();
const data = trainingSet(train, 10);
const groups = parseGroups(flag("groups", groupsText), file.model.config.depth);

/** The demo's settings, some replaced from the command line. */
function settingsOf(seed: number): LearnSettings {
  const full = sizeOf(familyPlans.dit, false);
  const size = {
    ...full,
    searchSteps: Number(flag("steps", String(full.searchSteps))),
    batch: Number(flag("batch", String(full.batch))),
  };
  const demo = searchSettings(size);
  const number = (name: string, fallback: number) => Number(flag(name, String(fallback)));
  return {
    ...learnDefaults,
    process: file.process,
    seed,
    steps: demo.steps,
    batchSize: demo.batchSize,
    microBatch: demo.microBatch,
    learningRate: {
      base: number("lr", demo.learningRate),
      kind: "cosine",
      final: demo.finalLr,
      warmupSteps: demo.warmupSteps,
    },
    gateLearningRate: {
      base: number("gate-lr", demo.gateLr),
      kind: "cosine",
      final: 0,
      span: demo.gateLrSpan,
      warmupSteps: demo.gateLrWarmup,
    },
    tau: [number("tau-start", learnDefaults.tau[0]), number("tau-end", learnDefaults.tau[1])],
    emaDecay: number("ema", learnDefaults.emaDecay),
    counterfactual: number("counterfactual", learnDefaults.counterfactual),
  };
}

console.log(machine());
const decisions: string[] = [];
let settled = 0;
for (const seed of seeds) {
  const settings = settingsOf(seed);
  const { learning, trainer } = await learnMasks(
    cpuEngine({ threads: Number(flag("threads", "2")) }),
    file,
    groups,
    data,
    settings,
  );
  const start = performance.now();
  for (let k = 0; k < settings.steps; k++) await learning.step(k);
  await trainer.release();
  const { kept, confidence } = learning.decision(settings.steps);
  const last = learning.flips.at(-1) ?? 0;
  const share = last / settings.steps;
  if (share < 0.7) settled++;
  decisions.push(String(kept));
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  console.log(
    `seed ${seed}: kept ${kept.join(",")}; ${learning.flips.length} flips, last at ${(100 * share).toFixed(0)}%; ` +
      `lowest confidence ${Math.min(...confidence).toFixed(2)}; ${seconds} s`,
  );
}
console.log(
  `${settled} of ${seeds.length} seeds settled before 70% of the run; ${new Set(decisions).size} different decisions`,
);
