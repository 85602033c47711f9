/** The objective of SiT: the velocity, noise or score of a flow, and distillation from a teacher that predicts it. */
import { float32 } from "../array/ndarray.ts";
import { uniforms } from "../array/random.ts";
import { timesIn, trainingInterval } from "../diffusion/flow/interval.ts";
import { denoiseFlow, type FlowBatch, type FlowDenoised, flowLossOf } from "../diffusion/flow/losses.ts";
import type { FlowProcess } from "../diffusion/flow/process.ts";
import { squaredError } from "../diffusion/losses.ts";
import { input, stopGradient } from "../graph/build.ts";
import { predictor } from "../models/registry.ts";
import { drawExamples, drawNoise } from "./examples.ts";
import { type Batch, imageInputs, type Objective, type Terms, type Traced } from "./objective.ts";

export type FlowTrainingBatch = FlowBatch & Batch;

/** Times are uniform in the training interval of the process. */
export function flowObjective(process: FlowProcess): Objective<FlowTrainingBatch> {
  const interval = trainingInterval(process);
  const denoised = ({ model, p, runBlock }: Traced, batch: FlowBatch): FlowDenoised =>
    denoiseFlow(predictor(model, p, runBlock), process, batch);
  const lossTerms = (of: FlowDenoised, batch: FlowBatch): Terms => ({ loss: flowLossOf(of, process, batch) });
  return {
    inputs: (model, rows) => ({ ...imageInputs(model, rows), t: input("t", [rows]) }),
    loss: (traced, batch) => lossTerms(denoised(traced, batch), batch),
    distill(student, teacher, batch) {
      const [own, fromTeacher] = [denoised(student, batch), denoised(teacher, batch)];
      const distillation = squaredError(own.output, stopGradient(fromTeacher.output));
      return { task: lossTerms(own, batch), distillation };
    },
    draw: async (model, data, settings, step) =>
      (await drawExamples(model, data, settings, step)).map(({ feeds, keys }) => ({
        ...feeds,
        noise: drawNoise(keys, feeds.xStart.shape),
        t: float32(
          timesIn(
            interval,
            Float32Array.from(keys, (key) => uniforms(key("timestep"), 1)[0]!),
          ),
        ),
      })),
  };
}
