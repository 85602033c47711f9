/** The objective of DiT: predicting the noise of Gaussian diffusion, and distillation from a teacher that does. */
import { NDArray } from "../array/ndarray.ts";
import { integers } from "../array/random.ts";
import { pMeanVariance } from "../diffusion/gaussian.ts";
import {
  boundAgainst,
  type DiffusionBatch,
  denoise,
  detachNoise,
  type LossKind,
  lossOf,
  squaredError,
} from "../diffusion/losses.ts";
import type { Model as Predict } from "../diffusion/model.ts";
import type { Schedule } from "../diffusion/schedule.ts";
import { add, input, stopGradient } from "../graph/build.ts";
import type { Tensor } from "../graph/tensor.ts";
import { predictor } from "../models/registry.ts";
import { drawExamples, drawNoise } from "./examples.ts";
import { type Batch, type DistillTerms, imageInputs, type Objective, type Terms, type Traced } from "./objective.ts";

export type GaussianBatch = DiffusionBatch & Batch;

/** Noise prediction on the steps of a schedule. */
export function gaussianObjective(schedule: Schedule, kind: LossKind = "mse"): Objective<GaussianBatch> {
  return {
    inputs: (model, rows) => ({ ...imageInputs(model, rows), index: input("index", [rows], "int32") }),
    loss: (traced, batch) => lossTerms(denoise(predictOf(traced), schedule, batch), schedule, batch, kind),
    distill: (student, teacher, batch) => distillNoise(predictOf(student), predictOf(teacher), schedule, batch),
    draw: async (model, data, settings, step) =>
      (await drawExamples(model, data, settings, step)).map(({ feeds, keys }) => ({
        ...feeds,
        noise: drawNoise(keys, feeds.xStart.shape),
        index: new NDArray(
          "int32",
          [keys.length],
          Int32Array.from(keys, (key) => integers(key("timestep"), 1, schedule.betas.length)[0]!),
        ),
      })),
  };
}

const predictOf = ({ model, p, runBlock }: Traced): Predict => predictor(model, p, runBlock);

function lossTerms(
  denoised: ReturnType<typeof denoise>,
  schedule: Schedule,
  batch: DiffusionBatch,
  kind: LossKind,
): Terms {
  const { loss, mse, vb } = lossOf(denoised, schedule, batch, kind);
  return { loss, ...(mse && { mse }), ...(vb && { vb }) };
}

/**
 * Distance to the teacher's noise plus, with learned variance, KL(teacher ‖ student) in bits. Both see the same noised
 * images; the teacher sees `teacherLabels` if given (the original's output-only distillation does not drop them).
 */
export function distillNoise(
  student: Predict,
  teacher: Predict,
  schedule: Schedule,
  batch: DiffusionBatch,
  teacherLabels: Tensor = batch.y,
): DistillTerms & { readonly vbDistillation?: Tensor } {
  const fromTeacher = denoise(teacher, schedule, { ...batch, y: teacherLabels });
  const own = denoise(student, schedule, batch);
  const task = lossTerms(own, schedule, batch, "mse");
  const distance = squaredError(own.prediction.noise, stopGradient(fromTeacher.prediction.noise));
  if (!own.prediction.fraction || !fromTeacher.prediction.fraction) return { task, distillation: distance };
  const { xT } = own;
  const fixed = {
    noise: stopGradient(fromTeacher.prediction.noise),
    fraction: stopGradient(fromTeacher.prediction.fraction),
  };
  const target = pMeanVariance(schedule, fixed, xT, batch.index);
  const predicted = pMeanVariance(schedule, detachNoise(own.prediction), xT, batch.index);
  const vbDistillation = boundAgainst(target, predicted, batch);
  return { task, distillation: add(distance, vbDistillation), vbDistillation };
}
