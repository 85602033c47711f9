/** Mask learning on a model file: from settings to a task. */

import { gumbels } from "../array/random.ts";
import type { TrainingSet } from "../data/training-set.ts";
import type { Process } from "../diffusion/process.ts";
import type { Engine, NamedArrays, Weight } from "../engine/engine.ts";
import { initialWeights } from "../nn/init.ts";
import { Params, trainable, type WeightSpec } from "../nn/params.ts";
import { requireTrainSettings } from "../training/check-settings.ts";
import { type DrawSettings, requireLabels } from "../training/examples.ts";
import { type LoraSettings, loraDefaults, withLora } from "../training/lora.ts";
import { trainingLoss } from "../training/objective.ts";
import { objectiveOf } from "../training/objectives.ts";
import { trainDefaults } from "../training/train.ts";
import { Trainer } from "../training/trainer.ts";
import type { ModelFile } from "../weights/model-file.ts";
import { type GateGroup, gateCount, gateGroups } from "./draw-mask.ts";
import type { Group } from "./groups.ts";
import { denseExecution, routedExecution } from "./mask-execution.ts";
import { type MaskBatch, MaskLearning, type MaskLearningSettings, requireMaskSettings } from "./mask-learning.ts";

/** What is trained with the gates: LoRA factors, all weights, or nothing. */
export type Delta = "lora" | "full" | "none";

export interface LearnSettings extends MaskLearningSettings {
  readonly delta: Delta;
  readonly lora: LoraSettings;
  readonly execution: "routed" | "dense";
  readonly microBatch: number;
  readonly labelDrop: number;
  readonly process: Process;
  readonly recompute: boolean;
}

/** The paper's: LoRA of rank 8, gates at ten times the rate, Gumbel temperature 4 → 0.1, logit scale 100. */
export const learnDefaults = {
  ...trainDefaults,
  emaDecay: 0.999,
  gateLearningRate: { ...trainDefaults.learningRate, base: 1e-3 },
  delta: "lora",
  lora: loraDefaults,
  execution: "routed",
  counterfactual: 1,
  gateInit: 0.02,
  tau: [4, 0.1],
  scale: [100, 100],
} as const satisfies Omit<LearnSettings, "process">;

/** A mask-learning task, and the trainer that holds its weight update. */
export interface LearnedMasks {
  readonly learning: MaskLearning;
  readonly trainer: Trainer;
}

/**
 * The paper's algorithm 1 on a trained model: gates and a weight update, jointly.
 * @throws InputError for labels that are to be dropped where the model has no class for "no label"; RangeError for a
 *   setting that is out of its bound.
 */
export async function learnMasks(
  engine: Engine,
  file: ModelFile,
  groups: readonly Group[],
  data: TrainingSet,
  settings: LearnSettings,
): Promise<LearnedMasks> {
  requireMaskSettings(settings);
  requireTrainSettings(settings);
  requireLabels(file.model, settings);
  const { microBatch, delta, lora, seed } = settings;
  const gates = gateGroups(groups);
  const execution =
    settings.execution === "dense" ? denseExecution(microBatch, file.model.config.depth) : routedExecution();
  const [p, adapters] = [new Params(), new Params()];
  const { model } = file;
  const objective = objectiveOf(settings.process);
  const plain = trainingLoss(objective, { model, p, runBlock: execution.runBlock, isTraining: true }, microBatch);
  const traced = execution.complete(plain, (xs) => (delta === "lora" ? withLora(xs, adapters, lora) : [...xs]));
  const trained = trainedWith(delta, p, adapters);
  const names = new Set(trained.map(({ name }) => name));
  const fixed = new Map([...file.tensors].filter(([name]) => !names.has(name)));
  const trainer = await Trainer.compile(
    engine,
    { ...traced, tensorOf: (name) => (delta === "lora" ? adapters : p).tensor(name) },
    trained,
    new Map<string, Weight>([...file.tensors, ...initialWeights(adapters.specs(), seed)]),
    { fixed, adamw: settings.adamw, recompute: settings.recompute },
  );
  const batches = async (step: number) =>
    maskBatches(await objective.draw(model, data, settings, step), gates, settings, step);
  return { trainer, learning: new MaskLearning({ trainer, groups: gates, execution, batches }, settings) };
}

function trainedWith(delta: Delta, p: Params, adapters: Params): WeightSpec[] {
  if (delta === "none") return [];
  return delta === "lora" ? adapters.specs() : trainable(p.specs());
}

/** The micro-batches of a step with each row's Gumbel noise, a function of (seed, step, example) like all the rest. */
function maskBatches(
  drawn: readonly NamedArrays[],
  groups: readonly GateGroup[],
  { seed, microBatch, batchSize }: DrawSettings,
  step: number,
): MaskBatch[] {
  return drawn.map((feeds, i) => {
    const first = i * microBatch;
    const gumbel = Array.from({ length: microBatch }, (_, row) =>
      gumbels({ seed, purpose: "gumbel", step, index: Math.min(first + row, batchSize - 1) }, gateCount(groups)),
    );
    return { feeds, gumbel, first };
  });
}
