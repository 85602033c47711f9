/** Importance of weights by the gradient of the loss: `taylor`, and the sums of gradients that width pruning uses too. */
import { float32 } from "../array/ndarray.ts";
import type { NamedArrays } from "../engine/engine.ts";
import type { Model } from "../models/registry.ts";
import { Params, trainable } from "../nn/params.ts";
import { gradientName } from "../training/adamw.ts";
import { weighted } from "../training/objective.ts";
import { objectiveOf } from "../training/objectives.ts";
import { gradientOutputs } from "../training/trainer.ts";
import { readWeight } from "../weights/read-weights.ts";
import { keepHighest } from "./budget.ts";
import { type CalibrationBatch, calibrationRows, drawCalibration, runOver } from "./calibration.ts";
import type { CalibratedContext, MeasuringPruner } from "./pruner.ts";

/** A backward pass is about twice the work of a forward pass. */
const BACKWARD = 2;

/**
 * Diff-Pruning (Fang et al. 2023, arXiv 2305.10924) by block: I_i = Σ_{θ in block i} |θ · ∂L/∂θ|, where the gradient is
 * summed over examples and timesteps first and absolute values are taken of each weight, as the published code does
 * (`TaylorImportance(multivariable=False)`; the plain criterion it is compared with is |Σ θ · ∂L/∂θ|). Timesteps with
 * L_t ≤ 𝒯 · L_max do not count: late ones with uninformative gradients. The original walks through all timesteps and
 * stops at the first such one; here timesteps are drawn, so each example is judged by its own squared error.
 */
export const taylor: MeasuringPruner = {
  needs: "calibration",
  summary: "first-order importance Σ |θ · ∂L/∂θ| (Diff-Pruning)",
  passes: () => 1 + 1 + BACKWARD,
  async choose(context) {
    const { model, data, calibration, groups, settings } = context;
    const batches = await drawCalibration(model, data, calibration);
    const counted = countedExamples(await exampleLosses(context, batches), settings.lossThreshold);
    const blocks = blockWeights(model);
    const gradients = await summedGradient(context, [...blocks.keys()], weightedBatches(batches, counted));
    const scores = new Array<number>(model.config.depth).fill(0);
    for (const [name, block] of blocks) {
      const { data } = await readWeight(context.weights.get(name)!);
      scores[block]! += importance(data, gradients.get(name)!);
    }
    return { kept: keepHighest(scores, groups), scores };
  },
};

/** Σ |θ · ∂L/∂θ| of one weight, in float64. */
export function importance(values: Float32Array, gradient: Float32Array): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += Math.abs(values[i]! * gradient[i]!);
  return total;
}

/** Adds the gradients of a run (outputs as `gradientOutputs` names them) to sums by the weight's name, in float32. */
export function addGradients(sums: Map<string, Float32Array>, results: NamedArrays, names: readonly string[]): void {
  for (const name of names) {
    const part = results[gradientName(name)]!.data as Float32Array;
    const sum = sums.get(name);
    if (!sum) sums.set(name, part.slice());
    else for (let i = 0; i < sum.length; i++) sum[i]! += part[i]!;
  }
}

/** Whether each example counts: its loss is more than `threshold` times the largest. Without a threshold all do. */
export function countedExamples(losses: readonly number[], threshold: number): boolean[] {
  const largest = losses.reduce((a, b) => Math.max(a, b), 0);
  return losses.map((loss) => threshold === 0 || loss > threshold * largest);
}

/** The weights inside blocks that training may change, each with its block. */
function blockWeights({ family, config }: Model): Map<string, number> {
  const p = new Params();
  family.trace(p, config);
  const scopes = family.blockScopes(config);
  const blockOf = (name: string) => scopes.findIndex((scope) => name.startsWith(`${scope}.`));
  const all = trainable(p.specs()).map(({ name }) => [name, blockOf(name)] as const);
  return new Map(all.filter(([, block]) => block >= 0));
}

/** The squared error of each example, in order; of a model that has none apart, its loss. */
async function exampleLosses(context: CalibratedContext, batches: readonly CalibrationBatch[]): Promise<number[]> {
  const { terms } = tracedTerms(context);
  const losses: number[] = [];
  await runOver(runContext(context), { loss: terms.mse ?? terms.loss }, batches, ({ loss }, { count }) => {
    losses.push(...(loss!.data as Float32Array).subarray(0, count));
    context.hooks.onRun?.(1);
  });
  return losses;
}

/** Σ weight · ∂L/∂θ over all batches, by name. */
async function summedGradient(
  context: CalibratedContext,
  names: readonly string[],
  batches: readonly CalibrationBatch[],
): Promise<ReadonlyMap<string, Float32Array>> {
  const { p, terms, weight } = tracedTerms(context);
  const sums = new Map<string, Float32Array>();
  const outputs = gradientOutputs(weighted(terms.loss, weight), p, names);
  await runOver(runContext(context), outputs, batches, (results) => {
    addGradients(sums, results, names);
    context.hooks.onRun?.(1 + BACKWARD);
  });
  return sums;
}

const runContext = ({ engine, weights, hooks }: CalibratedContext) => ({ engine, weights, signal: hooks.signal });

function tracedTerms({ model, calibration }: CalibratedContext) {
  const objective = objectiveOf(calibration.process);
  const batch = objective.inputs(model, calibrationRows(calibration));
  const p = new Params();
  return { p, terms: objective.loss({ model, p, isTraining: false }, batch), weight: batch.weight };
}

/** The batches with weight 1/n for each of the n examples that count, and 0 for the others. */
function weightedBatches(batches: readonly CalibrationBatch[], counted: readonly boolean[]): CalibrationBatch[] {
  const each = 1 / counted.filter(Boolean).length;
  let first = 0;
  return batches.map(({ feeds, count }) => {
    const own = counted.slice(first, first + count);
    first += count;
    const rows = feeds.weight!.size;
    const weight = float32(Array.from({ length: rows }, (_, row) => (own[row] ? each : 0)));
    return { feeds: { ...feeds, weight }, count };
  });
}
