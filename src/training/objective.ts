/** What a family is trained to do: the seam between its losses and everything that trains, prunes or compares models. */
import type { TrainingSet } from "../data/training-set.ts";
import type { NamedArrays } from "../engine/engine.ts";
import { input, mul, sum } from "../graph/build.ts";
import type { Segment } from "../graph/recompute.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Model } from "../models/registry.ts";
import type { Params } from "../nn/params.ts";
import { captureStates, type RunBlock } from "../nn/run-block.ts";
import type { DrawSettings } from "./examples.ts";
import type { TracedLoss } from "./trainer.ts";

/** Numbers of each example [N]; `loss` is what is minimised. */
export type Terms = Readonly<Record<string, Tensor>> & { readonly loss: Tensor };

/** A model in a graph. */
export interface Traced {
  readonly model: Model;
  /** The scope of its weights. */
  readonly p: Params;
  readonly runBlock?: RunBlock;
  /** Whether dropout, where the model has any, is on. */
  readonly isTraining: boolean;
}

/** A student's task loss and its distance to the teacher on the same noised examples. */
export interface DistillTerms {
  /** The student's loss without a teacher, and its parts. */
  readonly task: Terms;
  /** Distance to the teacher's prediction [N]. */
  readonly distillation: Tensor;
}

/** Inputs of the graph; `weight` [N] is 1/batch for an example and 0 for padding. */
export interface Batch {
  readonly weight: Tensor;
}

/** The training of models of one family by one process. */
export interface Objective<B extends Batch = Batch> {
  /** The graph's inputs for `rows` examples. */
  inputs(model: Model, rows: number): B;
  loss(model: Traced, batch: B): Terms;
  distill(student: Traced, teacher: Traced, batch: B): DistillTerms;
  /** The feeds of `inputs` for each micro-batch of a global step: a function of the seed, the step and the example only. */
  draw(model: Model, data: TrainingSet, settings: DrawSettings, step: number): Promise<NamedArrays[]>;
  /** What the sizes that steps draw anew are in a typical step, by name; absent where there are none. */
  typicalSizes?(model: Model, rows: number): Readonly<Record<string, number>>;
}

/** The inputs of objectives that noise whole images: x_0 and noise [N, C, S, S], labels and weights [N]. */
export function imageInputs({ config }: Model, rows: number) {
  const shape = [rows, config.inChannels, config.inputSize, config.inputSize];
  return {
    xStart: input("xStart", shape),
    noise: input("noise", shape),
    y: input("y", [rows], "int32"),
    weight: input("weight", [rows]),
  };
}

/** Σ weight · value over the rows. */
export const weighted = (value: Tensor, weight: Tensor): Tensor => sum(mul(value, weight));

/** The weighted sums of a batch's terms, as a loss to train. */
export function tracedLoss(terms: Terms, { weight }: Batch, p: Params): TracedLoss {
  const sums = Object.fromEntries(Object.entries(terms).map(([name, value]) => [name, weighted(value, weight)]));
  return { loss: sums.loss!, terms: sums, tensorOf: (name) => p.tensor(name) };
}

/** The plain training loss of a model, for the micro-batches that the objective draws. */
export function trainingLoss(objective: Objective, traced: Traced, rows: number): TracedLoss {
  const blocks: Segment[] = [];
  const runBlock = captureStates(blocks, traced.runBlock);
  const batch = objective.inputs(traced.model, rows);
  return { ...tracedLoss(objective.loss({ ...traced, runBlock }, batch), batch, traced.p), blocks };
}
