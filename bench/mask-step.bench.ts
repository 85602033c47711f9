/**
 * One mask-learning step (1:2, LoRA rank 8): dense against routed execution, and against a step without masks.
 * Targets: dense ÷ routed ≥ 1.25 (bound 1.33), ≥ 1.55 at a counterfactual share of 0.25 (bound 1.78), dense ≤ 1.05 × unmasked.
 */
import type { NDArray } from "../src/array/ndarray.ts";
import { gumbels } from "../src/array/random.ts";
import { defaultProcess, scheduleOf } from "../src/diffusion/process.ts";
import { type NamedArrays, type Program, runAndRead } from "../src/engine/engine.ts";
import { cpuEngine } from "../src/engine/onnx/cpu-engine.ts";
import { gradient } from "../src/graph/gradient.ts";
import { preset } from "../src/models/presets.ts";
import { Params } from "../src/nn/params.ts";
import { drawMask, gateCount, gateGroups, type MaskDraw } from "../src/pruning/draw-mask.ts";
import { addGateGradient } from "../src/pruning/gate-gradient.ts";
import { parseGroups } from "../src/pruning/groups.ts";
import { denseExecution, type MaskExecution, type MaskFeeds, routedExecution } from "../src/pruning/mask-execution.ts";
import { probeProbabilities } from "../src/pruning/routes.ts";
import { loraDefaults, withLora } from "../src/training/lora.ts";
import { trainingLoss } from "../src/training/objective.ts";
import { gaussianObjective } from "../src/training/objectives.ts";
import { flag, interleaved, machine, median, pairedRatio, peakGigabytes } from "./measure.ts";
import { awakeWeights, randomBatch } from "./models.ts";

const name = flag("model", "DiT-S/2");
const rows = Number(flag("rows", "8"));
const rounds = Number(flag("rounds", "12"));
const kinds = flag("kinds", "unmasked,dense,routed,quarter").split(",");
const temperature = { tau: 4, scale: 100 };

const model = preset(name);
const { depth } = model.config;
const groups = gateGroups(parseGroups("1:2", depth));
const engine = cpuEngine({ threads: Number(flag("threads", "2")) });
let weights: NamedArrays = {};
let adapters: NamedArrays = {};

/** Loss and gradients of the low-rank factors, with what the gates need. */
async function compile(execution?: MaskExecution): Promise<Program> {
  const [p, lora] = [new Params(), new Params()];
  const unmasked = { model, p, isTraining: true, ...(execution && { runBlock: execution.runBlock }) };
  const plain = trainingLoss(gaussianObjective(scheduleOf(defaultProcess)), unmasked, rows);
  const adapt = (tensors: Parameters<typeof withLora>[0]) => withLora(tensors, lora, loraDefaults);
  const traced = execution ? execution.complete(plain, adapt) : { ...plain, loss: adapt([plain.loss])[0]!, terms: {} };
  const names = lora.specs().map((spec) => spec.name);
  const gradients = gradient(
    traced.loss,
    names.map((key) => lora.tensor(key)),
  );
  if (Object.keys(weights).length === 0) {
    weights = Object.fromEntries(awakeWeights(p.specs()));
    adapters = Object.fromEntries(awakeWeights(lora.specs()));
  }
  const outputs = {
    loss: traced.loss,
    ...traced.extras,
    ...Object.fromEntries(names.map((key, i) => [`d ${key}`, gradients[i]!])),
  };
  return engine.compile({ outputs });
}

const gates = new Float32Array(gateCount(groups)).fill(0.02);
const drawsOf = (round: number): MaskDraw[] =>
  Array.from({ length: rows }, (_, n) =>
    drawMask(
      groups,
      gates,
      gumbels({ seed: 3, purpose: "gumbel", step: round + 2, index: n }, gates.length),
      temperature,
    ),
  );

function masksOf(execution: MaskExecution, round: number, share: number, probe = round + 2): MaskFeeds {
  const draws = drawsOf(round);
  return execution.feeds(draws, probeProbabilities(groups, draws, temperature, share), {
    seed: 5,
    step: probe,
    first: 0,
  });
}

function gateGradient(masks: MaskFeeds, round: number, extras: NamedArrays): Float64Array {
  const total = new Float64Array(gates.length);
  const draws = drawsOf(round);
  masks.gradient(extras).forEach((gradient, n) => {
    addGateGradient(groups, total, draws[n]!, gradient, temperature);
  });
  return total;
}

const batch = randomBatch(model, rows);
const candidates: Record<string, (round: number) => Promise<void>> = {};
const routed = kinds.includes("routed") || kinds.includes("quarter") ? routedExecution() : undefined;
const routedProgram = routed && (await compile(routed));
const step = async (session: Program, feeds: NamedArrays): Promise<Record<string, NDArray>> =>
  runAndRead(session, { ...weights, ...adapters, ...batch, ...feeds });
if (kinds.includes("unmasked")) {
  const session = await compile();
  candidates.unmasked = async () => void (await step(session, {}));
}
if (kinds.includes("dense")) {
  const execution = denseExecution(rows, depth);
  const session = await compile(execution);
  candidates.dense = async (round) => void (await step(session, masksOf(execution, round, 1).feeds));
}
if (kinds.includes("routed"))
  candidates.routed = async (round) => void (await step(routedProgram!, masksOf(routed!, round, 1).feeds));
if (kinds.includes("quarter"))
  candidates.quarter = async (round) => void (await step(routedProgram!, masksOf(routed!, round, 0.25).feeds));

const times = await interleaved(candidates, rounds);
console.log(machine());
console.log(
  `${name}, ${rows} images, 1:2, LoRA rank ${loraDefaults.rank}; medians of ${rounds} interleaved rounds, each with its own masks`,
);
for (const [kind, values] of Object.entries(times)) console.log(`${kind.padEnd(9)} ${median(values).toFixed(0)} ms`);
const report = (label: string, a: string, b: string, target: string) => {
  if (times[a] && times[b]) console.log(`${label} ${pairedRatio(times[a], times[b]).toFixed(3)} (target ${target})`);
};
report("dense ÷ unmasked", "dense", "unmasked", "≤ 1.05");
report("dense ÷ routed", "dense", "routed", "≥ 1.25, bound 1.33");
report("dense ÷ routed at counterfactual 0.25", "dense", "quarter", "≥ 1.55, bound 1.78");
console.log(`peak memory ${peakGigabytes()?.toFixed(2)} GB`);

if (routed && kinds.includes("quarter")) {
  const whole = masksOf(routed, 0, 1);
  const reference = gateGradient(whole, 0, await step(routedProgram!, whole.feeds));
  const draws = Number(flag("variance-draws", "16"));
  let squares = 0;
  for (let i = 0; i < draws; i++) {
    const masks = masksOf(routed, 0, 0.25, 1000 + i);
    const found = gateGradient(masks, 0, await step(routedProgram!, masks.feeds));
    squares += found.reduce((total, g, j) => total + (g - reference[j]!) ** 2, 0) / draws;
  }
  const norm = reference.reduce((total, g) => total + g * g, 0);
  console.log(
    `gate gradient at counterfactual 0.25: variance ÷ squared norm ${(squares / norm).toFixed(3)} over ${draws} draws`,
  );
}
