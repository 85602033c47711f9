/** The objective of each kind of process: Gaussian diffusion (DiT), flows (SiT) and masked tokens (MAR). */
import { float32, int32 } from "../array/ndarray.ts";
import { integers, uniforms } from "../array/random.ts";
import { timesIn, trainingInterval } from "../diffusion/flow/path.ts";
import { denoiseFlow, type FlowBatch, flowLossOf } from "../diffusion/flow/prediction.ts";
import { pMeanVariance } from "../diffusion/gaussian.ts";
import { boundAgainst, type DiffusionBatch, denoise, detachNoise, lossOf, squaredError } from "../diffusion/losses.ts";
import { drawMaskRatio, maskedCount, maskRatioAt, maskRatioDefaults, tokenOrders } from "../diffusion/masking/masks.ts";
import {
  drawTokens,
  meanOverTokens,
  type TokenBatch,
  tokenImages,
  tokenLoss,
  tokenModel,
} from "../diffusion/masking/token-loss.ts";
import type { Predictor } from "../diffusion/predictor.ts";
import { type FlowProcess, type Process, scheduleOf, type TokenProcess } from "../diffusion/process.ts";
import type { Schedule } from "../diffusion/schedule.ts";
import { add, input, stopGradient } from "../graph/build.ts";
import { symbolicDim } from "../graph/dim.ts";
import type { Tensor } from "../graph/tensor.ts";
import { tokenCount } from "../models/family.ts";
import { type MarConfig, tokenSize } from "../models/mar/config.ts";
import { mar } from "../models/mar/mar.ts";
import { patchify } from "../models/mar/patches.ts";
import { tokenDenoiser } from "../models/mar/token-denoiser.ts";
import { type Model, predictor } from "../models/registry.ts";
import { dropoutKeys } from "../nn/dropout.ts";
import { drawExamples, drawNoise } from "./examples.ts";
import { type Batch, type DistillTerms, imageInputs, type Objective, type Terms, type Traced } from "./objective.ts";

/** The objective of models of this process. */
export function objectiveOf(process: Process): Objective {
  if (process.kind === "gaussian") return gaussianObjective(scheduleOf(process));
  return process.kind === "flow" ? flowObjective(process) : tokenObjective(process);
}

const predictOf = ({ model, p, runBlock }: Traced): Predictor => predictor(model, p, runBlock);

/** Noise prediction on the steps of a schedule. */
export function gaussianObjective(schedule: Schedule): Objective<DiffusionBatch & Batch> {
  return {
    inputs: (model, rows) => ({ ...imageInputs(model, rows), index: input("index", [rows], "int32") }),
    loss: (traced, batch) => lossOf(denoise(predictOf(traced), schedule, batch), schedule, batch),
    distill: (student, teacher, batch) => distillNoise(predictOf(student), predictOf(teacher), schedule, batch),
    draw: async (model, data, settings, step) =>
      (await drawExamples(model, data, settings, step)).map(({ feeds, keys }) => ({
        ...feeds,
        noise: drawNoise(keys, feeds.xStart.shape),
        index: int32(Array.from(keys, (key) => integers(key("timestep"), 1, schedule.betas.length)[0]!)),
      })),
  };
}

/**
 * Distance to the teacher's noise plus, with learned variance, KL(teacher ‖ student) in bits. Both see the same noised
 * images; the teacher sees `teacherLabels` if given (the original's output-only distillation does not drop them).
 */
export function distillNoise(
  student: Predictor,
  teacher: Predictor,
  schedule: Schedule,
  batch: DiffusionBatch,
  teacherLabels: Tensor = batch.y,
): DistillTerms & { readonly vbDistillation?: Tensor } {
  const fromTeacher = denoise(teacher, schedule, { ...batch, y: teacherLabels });
  const own = denoise(student, schedule, batch);
  const task = lossOf(own, schedule, batch);
  const distance = squaredError(own.prediction.noise, stopGradient(fromTeacher.prediction.noise));
  const { noise, fraction } = fromTeacher.prediction;
  if (!own.prediction.fraction || !fraction) return { task, distillation: distance };
  const fixed = { noise: stopGradient(noise), fraction: stopGradient(fraction) };
  const target = pMeanVariance(schedule, fixed, own.xT, batch.index);
  const predicted = pMeanVariance(schedule, detachNoise(own.prediction), own.xT, batch.index);
  const vbDistillation = boundAgainst(target, predicted, batch);
  return { task, distillation: add(distance, vbDistillation), vbDistillation };
}

/** The velocity, noise or score of a flow; times are uniform in the training interval of the process. */
function flowObjective(process: FlowProcess): Objective<FlowBatch & Batch> {
  const interval = trainingInterval(process);
  const denoised = (traced: Traced, batch: FlowBatch) => denoiseFlow(predictOf(traced), process, batch);
  return {
    inputs: (model, rows) => ({ ...imageInputs(model, rows), t: input("t", [rows]) }),
    loss: (traced, batch) => ({ loss: flowLossOf(denoised(traced, batch), process, batch) }),
    distill(student, teacher, batch) {
      const [own, fromTeacher] = [denoised(student, batch), denoised(teacher, batch)];
      const distillation = squaredError(own.output, stopGradient(fromTeacher.output));
      return { task: { loss: flowLossOf(own, process, batch) }, distillation };
    },
    draw: async (model, data, settings, step) =>
      (await drawExamples(model, data, settings, step)).map(({ feeds, keys }) => {
        const u = Float32Array.from(keys, (key) => uniforms(key("timestep"), 1)[0]!);
        return { ...feeds, noise: drawNoise(keys, feeds.xStart.shape), t: float32(timesIn(interval, u)) };
      }),
  };
}

interface TokenTrainingBatch extends Batch, TokenBatch {
  readonly visible: Tensor;
  readonly y: Tensor;
  readonly dropoutKey: Tensor;
}

const configOf = ({ config }: Model): MarConfig => config as unknown as MarConfig;

/** Conditions of all tokens [N, L, D] and the denoiser that reads them. */
function trunk({ model, p, runBlock, isTraining }: Traced, batch: TokenTrainingBatch) {
  const config = configOf(model);
  const { target: tokens, visible, y, dropoutKey } = batch;
  const z = mar(p, config, { tokens, visible, y, ...(isTraining && { dropoutKey }) }, runBlock);
  return { z, denoiser: (inputs: Parameters<typeof tokenDenoiser>[2]) => tokenDenoiser(p, config, inputs) };
}

/** The diffusion loss of masked tokens: one mask ratio for each global step, a random order for each example (Li et al. 2024, section 4.3). */
function tokenObjective(process: TokenProcess): Objective<TokenTrainingBatch> {
  const schedule = scheduleOf(process);
  const ratio = { ...maskRatioDefaults, min: process.maskRatioMin ?? maskRatioDefaults.min };
  return {
    inputs: (model, rows) => tokenInputs(configOf(model), rows),
    loss(traced, batch) {
      const { z, denoiser } = trunk(traced, batch);
      return perImage(tokenLoss(denoiser, schedule, z, batch), batch);
    },
    distill(student, teacher, batch) {
      const models = [student, teacher].map((traced) => {
        const { denoiser, z } = trunk(traced, batch);
        return tokenModel(denoiser, z);
      });
      const { task, distillation } = distillNoise(models[0]!, models[1]!, schedule, tokenImages(batch));
      return { task: perImage(task, batch), distillation: meanOverTokens(distillation, batch) };
    },
    typicalSizes(model, rows) {
      const length = tokenCount(configOf(model));
      const masked = maskedCount(length, maskRatioAt(0.5, ratio));
      return { tokens: rows * masked * process.copies, visible: length - masked };
    },
    async draw(model, data, settings, step) {
      const config = configOf(model);
      const { bufferSize } = config;
      const length = tokenCount(config);
      const { seed } = settings;
      const masked = maskedCount(length, drawMaskRatio({ seed, step }, ratio));
      const { copies, steps } = process;
      const sizes = { masked, bufferSize, tokenSize: tokenSize(config), copies, steps };
      return (await drawExamples(model, data, settings, step)).map(({ feeds, keys }) => {
        const orders = tokenOrders(
          keys.map((key) => key("token order")),
          length,
        );
        const indices = keys.map((key) => key("dropout").index);
        const tokens = drawTokens(orders, keys, sizes);
        return { ...feeds, ...tokens, dropoutKey: dropoutKeys(seed, step, indices) };
      });
    },
  };
}

/** Terms for each image [N]: the means of those of its tokens [M]. */
const perImage = (terms: Terms, batch: TokenBatch): Terms =>
  Object.fromEntries(Object.entries(terms).map(([name, x]) => [name, meanOverTokens(x, batch)])) as Terms;

function tokenInputs(config: MarConfig, rows: number): TokenTrainingBatch {
  const { inChannels, inputSize } = config;
  const drawn = symbolicDim("tokens");
  return {
    target: patchify(input("xStart", [rows, inChannels, inputSize, inputSize]), config),
    visible: input("visible", [rows, symbolicDim("visible")], "int32"),
    y: input("y", [rows], "int32"),
    token: input("token", [drawn], "int32"),
    sample: input("sample", [drawn], "int32"),
    index: input("index", [drawn], "int32"),
    noise: input("noise", [drawn, tokenSize(config)]),
    dropoutKey: input("dropoutKey", [rows, 2], "int32"),
    weight: input("weight", [rows]),
  };
}
