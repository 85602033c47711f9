/** Two thousand routed steps whose row counts change at each step: memory must not grow. */

import { gumbels } from "../src/array/random.ts";
import { defaultProcess, scheduleOf } from "../src/diffusion/process.ts";
import { runAndRead } from "../src/engine/engine.ts";
import { cpuEngine } from "../src/engine/onnx/cpu-engine.ts";
import { modelOf } from "../src/models/registry.ts";
import { Params } from "../src/nn/params.ts";
import { drawMask, gateCount, gateGroups } from "../src/pruning/draw-mask.ts";
import { parseGroups } from "../src/pruning/groups.ts";
import { routedExecution } from "../src/pruning/mask-execution.ts";
import { probeProbabilities } from "../src/pruning/routes.ts";
import { trainingLoss } from "../src/training/objective.ts";
import { gaussianObjective } from "../src/training/objectives.ts";
import { flag, machine } from "./measure.ts";
import { awakeWeights, randomBatch } from "./models.ts";

const model = modelOf({
  inputSize: 28,
  patchSize: 4,
  inChannels: 1,
  hiddenSize: 64,
  depth: 8,
  numHeads: 4,
  numClasses: 10,
});
const rows = 16;
const steps = Number(flag("steps", "2000"));
const execution = routedExecution();
const p = new Params();
const plain = trainingLoss(
  gaussianObjective(scheduleOf(defaultProcess)),
  { model, p, runBlock: execution.runBlock, isTraining: true },
  rows,
);
const traced = execution.complete(plain, (tensors) => [...tensors]);
const session = await cpuEngine().compile({ outputs: { ...traced.terms, ...traced.extras } });
const feeds = { ...Object.fromEntries(awakeWeights(p.specs())), ...randomBatch(model, rows) };
const groups = gateGroups(parseGroups("1:2", 8));
const gates = new Float32Array(gateCount(groups)).fill(0.02);
const megabytes: number[] = [];
for (let k = 0; k < steps; k++) {
  const draws = Array.from({ length: rows }, (_, n) =>
    drawMask(groups, gates, gumbels({ seed: 0, purpose: "gumbel", step: k, index: n }, gates.length), {
      tau: 4,
      scale: 100,
    }),
  );
  const share = ((k * 7) % 10) / 10 + 0.1;
  const masks = execution.feeds(draws, probeProbabilities(groups, draws, { tau: 4, scale: 100 }, share), {
    seed: 0,
    step: k,
    first: 0,
  });
  await runAndRead(session, { ...feeds, ...masks.feeds });
  if (k % Math.floor(steps / 10) === 0) megabytes.push(process.memoryUsage().rss / 1e6);
}
console.log(machine());
console.log(
  `${steps} routed steps of ${rows} images; resident MB along the way: ${megabytes.map((x) => x.toFixed(0)).join(" ")}`,
);
const [early, late] = [megabytes[2]!, megabytes.at(-1)!];
console.log(`last ÷ third of ten readings ${(late / early).toFixed(3)}`);
