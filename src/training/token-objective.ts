/** The objective of MAR: the diffusion loss of masked tokens, and distillation from a teacher's denoiser under the teacher's own conditions. */

import { drawMaskRatio, maskedCount, maskRatioAt, maskRatioDefaults } from "../diffusion/masking/mask-ratio.ts";
import { tokenOrders } from "../diffusion/masking/places.ts";
import { drawTokens } from "../diffusion/masking/token-draws.ts";
import {
  meanOverTokens,
  type TokenBatch,
  tokenImages,
  tokenLoss,
  tokenModel,
} from "../diffusion/masking/token-loss.ts";
import { scheduleOf, type TokenProcess } from "../diffusion/process.ts";
import { input } from "../graph/build.ts";
import { symbolicDim } from "../graph/dim.ts";
import type { Tensor } from "../graph/tensor.ts";
import { tokenCount } from "../models/family.ts";
import { type MarConfig, tokenSize } from "../models/mar/config.ts";
import { mar } from "../models/mar/mar.ts";
import { patchify } from "../models/mar/patches.ts";
import { tokenDenoiser } from "../models/mar/token-denoiser.ts";
import type { Model } from "../models/registry.ts";
import { dropoutKeys } from "../nn/dropout.ts";
import { drawExamples } from "./examples.ts";
import { distillNoise } from "./gaussian-objective.ts";
import type { Batch, Objective, Traced } from "./objective.ts";

export interface TokenTrainingBatch extends Batch, TokenBatch {
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

/** One mask ratio for each global step, a random order for each example (Li et al. 2024, section 4.3). */
export function tokenObjective(process: TokenProcess): Objective<TokenTrainingBatch> {
  const schedule = scheduleOf(process);
  const ratio = { ...maskRatioDefaults, min: process.maskRatioMin ?? maskRatioDefaults.min };
  return {
    inputs: (model, rows) => tokenInputs(configOf(model), rows),
    loss(traced, batch) {
      const { z, denoiser } = trunk(traced, batch);
      const { loss, mse, vb } = tokenLoss(denoiser, schedule, z, batch);
      return { loss, ...(mse && { mse }), ...(vb && { vb }) };
    },
    distill(student, teacher, batch) {
      const [own, fromTeacher] = [trunk(student, batch), trunk(teacher, batch)];
      const models = [tokenModel(own.denoiser, own.z), tokenModel(fromTeacher.denoiser, fromTeacher.z)] as const;
      const { task, distillation } = distillNoise(...models, schedule, tokenImages(batch));
      const { loss, ...parts } = task;
      const named = Object.entries(parts).map(([name, x]) => [name, meanOverTokens(x, batch)] as const);
      return {
        task: { loss: meanOverTokens(loss, batch), ...Object.fromEntries(named) },
        distillation: meanOverTokens(distillation, batch),
      };
    },
    typicalSizes(model, rows) {
      const length = tokenCount(configOf(model));
      const masked = maskedCount(length, maskRatioAt(0.5, ratio));
      return { tokens: rows * masked * process.copies, visible: length - masked };
    },
    async draw(model, data, settings, step) {
      const config = configOf(model);
      const length = tokenCount(config);
      const { seed } = settings;
      const masked = maskedCount(length, drawMaskRatio({ seed, step }, ratio));
      const steps = schedule.betas.length;
      const sizes = {
        masked,
        bufferSize: config.bufferSize,
        tokenSize: tokenSize(config),
        copies: process.copies,
        steps,
      };
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
