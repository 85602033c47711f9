/** The diffusion loss of a model as something to train: graph inputs, loss and reported terms. */

import { type DiffusionBatch, diffusionLoss, type LossKind } from "../diffusion/losses.ts";
import type { Schedule } from "../diffusion/schedule.ts";
import { input, mul, sum } from "../graph/build.ts";
import type { Dim } from "../graph/dim.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Model } from "../models/registry.ts";
import type { Params } from "../nn/params.ts";
import type { RunBlock } from "../nn/run-block.ts";
import type { TracedLoss } from "./trainer.ts";

/** The inputs that `drawBatch` feeds, for `rows` rows. */
export function batchInputs({ config }: Model, rows: Dim): DiffusionBatch & { readonly weight: Tensor } {
  const shape = [rows, config.inChannels, config.inputSize, config.inputSize];
  return {
    xStart: input("xStart", shape),
    noise: input("noise", shape),
    index: input("index", [rows], "int32"),
    y: input("y", [rows], "int32"),
    weight: input("weight", [rows]),
  };
}

/** Σ weight · value over the rows. */
export const weighted = (value: Tensor, weight: Tensor): Tensor => sum(mul(value, weight));

/** The plain training loss, for the micro-batches of `drawBatch`. */
export function denoisingLoss(
  model: Model,
  p: Params,
  schedule: Schedule,
  rows: number,
  { kind = "mse", runBlock }: { kind?: LossKind; runBlock?: RunBlock } = {},
): TracedLoss {
  const batch = batchInputs(model, rows);
  const predict = (inputs: { x: Tensor; t: Tensor; y: Tensor }) =>
    model.family.predict(p, model.config, inputs, runBlock);
  const { loss, mse, vb } = diffusionLoss(predict, schedule, batch, kind);
  const total = weighted(loss, batch.weight);
  const terms = {
    loss: total,
    ...(mse && { mse: weighted(mse, batch.weight) }),
    ...(vb && { vb: weighted(vb, batch.weight) }),
  };
  return { loss: total, terms, tensorOf: (name) => p.tensor(name) };
}
