/** The function that a DiT's or a SiT's sampling loop calls, as a graph. N batch, C channels, S side. */
import { float32, int32, sizeOf } from "../array/ndarray.ts";
import { normals } from "../array/random.ts";
import { flowField } from "../diffusion/flow/prediction.ts";
import { splitPrediction } from "../diffusion/gaussian.ts";
import { guidedPrediction, type Predictor } from "../diffusion/predictor.ts";
import type { GaussianProcess, NamedFlow } from "../diffusion/process.ts";
import { input } from "../graph/build.ts";
import { symbolicDim } from "../graph/dim.ts";
import { dimAt, fixedDim, type Tensor } from "../graph/tensor.ts";
import type { ModelConfig } from "../models/family.ts";
import { type Model, predictor } from "../models/registry.ts";
import { Params } from "../nn/params.ts";
import { labelMeaning, noLabels, scaleInput } from "./guidance.ts";
import { feeds, type Part, rowsOf } from "./part.ts";

/** How the functions of a model are exported. */
export interface PartSettings {
  /** Rows; open if undefined. */
  readonly batch: number | undefined;
  /** Whether guidance is part of the function, with its scale as an input. */
  readonly guidance: boolean;
  /** Leading channels that are guided. */
  readonly cfgChannels: number;
}

/** x, t, y → noise (and variance where it is learned) of Gaussian diffusion, velocity of a flow. */
export function denoiserPart(model: Model, process: GaussianProcess | NamedFlow, settings: PartSettings): Part {
  const { inChannels, inputSize, numClasses } = model.config;
  const image = [inChannels, inputSize, inputSize];
  const n = settings.batch ?? symbolicDim("batch");
  const inputs = { x: input("x", [n, ...image]), t: input("t", [n]), y: input("y", [n], "int32") };
  const predict = withSettings(predictor(model, new Params()), settings, numClasses);
  return {
    name: "denoiser",
    graph: { outputs: outputsOf(predict, process, inputs) },
    about: { ...inputMeanings(model.config), ...meanings[process.kind] },
    example(rows) {
      const count = rowsOf(settings.batch, rows);
      const x = normals({ seed: 0, purpose: "export check", step: 0, index: 0 }, sizeOf([count, ...image]));
      const last = process.kind === "gaussian" ? process.steps - 1 : 1;
      const share = (i: number) => (i + 0.5) / count;
      return feeds({
        x: float32(x, [count, ...image]),
        t: float32(Float32Array.from({ length: count }, (_, i) => last * share(i))),
        y: int32(Int32Array.from({ length: count }, (_, i) => Math.floor(numClasses * share(i)))),
        cfgScale: settings.guidance ? float32([2.5], []) : undefined,
      });
    },
  };
}

function withSettings(predict: Predictor, { guidance, cfgChannels }: PartSettings, numClasses: number): Predictor {
  if (!guidance) return predict;
  const scale = scaleInput();
  return ({ x, t, y }) => {
    const unlabelled = predict({ x, t, y: noLabels(numClasses, dimAt(y, 0)) });
    return guidedPrediction(predict({ x, t, y }), unlabelled, scale, cfgChannels);
  };
}

function outputsOf(
  predict: Predictor,
  process: GaussianProcess | NamedFlow,
  inputs: { x: Tensor; t: Tensor; y: Tensor },
): Record<string, Tensor> {
  if (process.kind === "flow") return { velocity: flowField(predict, process, inputs).velocity };
  const { noise, fraction } = splitPrediction(predict(inputs), fixedDim(inputs.x, 1));
  return fraction ? { noise, variance: fraction } : { noise };
}

const inputMeanings = (config: ModelConfig): Record<string, string> => ({
  x: "the noised image or latents",
  y: labelMeaning(config),
  cfgScale: "classifier-free guidance: 0 is without class, 1 is none",
});

/** What a learned variance says (Nichol and Dhariwal 2021, eq. 15). */
export const varianceMeaning =
  "v, with f = (v + 1) / 2: log of the step's variance = f · log beta + (1 - f) · log of the posterior's variance";

const meanings = {
  gaussian: {
    t: "the timestep of the whole schedule; fractions are allowed",
    noise: "the noise in x",
    variance: varianceMeaning,
  },
  flow: { t: "time: 0 is noise, 1 is data", velocity: "dx / dt" },
} as const;
