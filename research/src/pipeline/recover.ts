/** Recovery in memory: a student trained with or without its teacher, and the moving average of its weights. */
import {
  adamWDefaults,
  type DistillKind,
  distillDefaults,
  type FinetuneSettings,
  finetuneTask,
  type LoadedModel,
  type ModelFile,
  NDArray,
  NonFiniteError,
  type TrainingSet,
  type TrainSettings,
  trainTask,
  type WeightTask,
} from "tinyfusion";
import { type StudyContext, secondsSince } from "../trials/trial.ts";
import type { BenchmarkModel } from "./benchmark.ts";
import type { Budget } from "./budget.ts";

/** The settings in which recoveries differ; stored as they are in a trial's settings. */
export interface RecoveryPlan {
  /** `none`: without a teacher, by the data alone. */
  readonly distill: DistillKind | "none";
  readonly maskSigma: number;
  /** Weight of the distillation loss against the task loss. */
  readonly share: number;
  readonly steps: number;
  readonly batch: number;
  readonly rate: { readonly base: number; readonly final: number };
  readonly beta: number;
}

/** A plan with the seed of its random draws. */
export type SeededPlan = RecoveryPlan & { readonly seed: number };

export interface Recovered {
  readonly model: LoadedModel;
  readonly seconds: number;
  /** The step whose loss was not finite, if one was: training ended before it. */
  readonly stoppedAt?: number;
}

/** The paper's masked distillation for a benchmark, with what a study changes. */
export const recoveryPlan = (
  { recoveryRate: rate, recoverySteps: steps, beta }: BenchmarkModel,
  budget: Budget,
  changed: Partial<RecoveryPlan> = {},
): RecoveryPlan => ({
  distill: "masked",
  maskSigma: distillDefaults.maskSigma,
  share: distillDefaults.weight,
  steps,
  batch: budget.recoveryBatch,
  rate,
  beta,
  ...changed,
});

/** Trains `student`; returns its moving average. */
export async function recover(
  context: StudyContext,
  student: LoadedModel,
  teacher: LoadedModel,
  data: TrainingSet,
  plan: SeededPlan,
): Promise<Recovered> {
  const started = performance.now();
  const task = await taskOf(context, student, teacher, data, plan);
  try {
    const stoppedAt = await train(context, task, plan.steps);
    const tensors = new Map<string, NDArray<"float32">>();
    for (const [name, array] of task.checkpoint().files.ema!)
      tensors.set(name, (array instanceof NDArray ? array : await array.read()) as NDArray<"float32">);
    const images = student.images + (stoppedAt ?? plan.steps) * plan.batch;
    const model: LoadedModel = {
      ...student,
      weights: "ema",
      images,
      sha256: "",
      path: `${student.path}, recovered`,
      tensors,
    };
    return { model, seconds: secondsSince(started), ...(stoppedAt !== undefined && { stoppedAt }) };
  } finally {
    await task.release();
  }
}

/** Runs all steps, or those before a loss that is not finite; returns that step, counted from 0. */
async function train(
  context: StudyContext,
  task: Pick<WeightTask, "step">,
  steps: number,
): Promise<number | undefined> {
  for (let step = 0; step < steps; step++) {
    context.signal.throwIfAborted();
    try {
      await task.step(step);
    } catch (error) {
      if (error instanceof NonFiniteError) return step;
      throw error;
    }
  }
  return undefined;
}

/** The settings that every recovery shares (LOG.md, "Recovery"). */
function trainSettings(
  { seed, steps, batch, rate }: SeededPlan,
  { process }: Pick<ModelFile, "process">,
): TrainSettings {
  return {
    process,
    labelDrop: 0.1,
    recompute: false,
    steps,
    batchSize: batch,
    microBatch: batch,
    seed,
    learningRate: { ...rate, kind: "cosine", warmupSteps: Math.min(20, Math.floor(steps / 10)) },
    clipNorm: 1,
    emaDecay: 0.98,
    emaWarmup: true,
    adamw: adamWDefaults,
  };
}

/** Settings of a recovery with a teacher; a student names the teacher block of each of its blocks. */
function distillSettings(
  plan: SeededPlan & { readonly distill: DistillKind },
  student: Pick<ModelFile, "process" | "prunings">,
): FinetuneSettings {
  const { distill: kind, maskSigma, share, beta } = plan;
  const { layerMap } = student.prunings.at(-1)!;
  return { ...trainSettings(plan, student), distill: { kind, maskSigma, weight: share, layerMap }, beta };
}

function taskOf(
  context: StudyContext,
  student: LoadedModel,
  teacher: LoadedModel,
  data: TrainingSet,
  plan: SeededPlan,
): Promise<WeightTask> {
  const { distill } = plan;
  if (distill === "none") return trainTask(context.engine, student.model, data, trainSettings(plan, student), student);
  return finetuneTask(context.engine, student, teacher, data, distillSettings({ ...plan, distill }, student));
}
