/** The rows of the conformance table: tiny models of every family, and the processes they are trained on. */
import { float32, int32, type NDArray, sizeOf } from "../../src/array/ndarray.ts";
import { uniforms } from "../../src/array/random.ts";
import { imagesInMemory, type TrainingSet } from "../../src/data/training-set.ts";
import { type Process, type ProcessKind, processOf } from "../../src/diffusion/process.ts";
import { type Model, modelOf } from "../../src/models/registry.ts";
import { flowSamplers, gaussianSamplers, type SamplingSettings } from "../../src/sampling/sampling-settings.ts";
import { weightSpecs } from "../../src/weights/model-file.ts";
import { awakeWeights } from "../training/tiny.ts";

/** What must hold for every model holds for this one. */
export interface Row {
  readonly name: string;
  readonly model: Model;
  readonly process: Process;
  /** Weights of which none is zero. */
  readonly weights: ReadonlyMap<string, NDArray<"float32">>;
  /** Whether training draws dropout masks. */
  readonly hasDropout: boolean;
  /** Every way to sample it, in few steps. */
  readonly samplers: Readonly<Record<string, SamplingSettings>>;
  /** A way whose images are an affine function of a single prediction. */
  readonly affine: SamplingSettings;
}

const image = { inputSize: 8, inChannels: 2, numClasses: 3 };
const body = { ...image, patchSize: 4, hiddenSize: 16, depth: 4, numHeads: 2 };
/** Two stacks of different width, so that nothing of one fits into the other. */
const stacks = {
  ...{ ...image, patchSize: 2, bufferSize: 2, denoiserDepth: 1, denoiserSize: 8 },
  ...{ encoderDepth: 2, encoderSize: 16, encoderHeads: 2, decoderDepth: 2, decoderSize: 12, decoderHeads: 3 },
};

const loose = { rtol: 1e-2, atol: 1e-2 };

/** The ways to sample, for each kind of process. */
const sampling: { readonly [K in ProcessKind]: Pick<Row, "samplers" | "affine"> } = {
  gaussian: {
    samplers: {
      ...Object.fromEntries(gaussianSamplers.map((sampler) => [sampler, { sampler, steps: "3" }])),
      "ddim with noise": { sampler: "ddim", steps: "3", eta: 1 },
    },
    affine: { sampler: "ddim", steps: "1" },
  },
  flow: {
    samplers: Object.fromEntries(
      flowSamplers.map((sampler) => [sampler, { sampler, ...(sampler === "dopri5" ? loose : { steps: "4" }) }]),
    ),
    affine: { sampler: "euler", steps: "2" },
  },
  tokens: {
    samplers: {
      "tokens, guided more and more": { steps: "3", headSteps: "3" },
      "tokens, guided evenly": { steps: "16", headSteps: "2", cfgSchedule: "constant" },
    },
    affine: { steps: "1", headSteps: "1", cfgSchedule: "constant" },
  },
};

const rowOf = (name: string, config: object, process: object, hasDropout = false): Row => {
  const model = modelOf(config);
  const { process: kind } = model.family;
  const weights = awakeWeights(weightSpecs(model));
  return { name, model, process: processOf(kind, process), weights, hasDropout, ...sampling[kind] };
};

export const rows: readonly Row[] = [
  rowOf("DiT with learned variance", { family: "dit", ...body }, { steps: 100 }),
  rowOf("DiT without", { family: "dit", ...body, learnSigma: false }, { steps: 100, schedule: "squaredcos_cap_v2" }),
  rowOf("SiT, velocities on the linear path", { family: "sit", ...body }, {}),
  rowOf(
    "SiT, weighted scores on the quarter circle",
    { family: "sit", ...body, learnSigma: false },
    { path: "gvp", prediction: "score", weighting: "likelihood" },
  ),
  rowOf("MAR with dropout", { family: "mar", ...stacks }, { steps: 100, copies: 2 }, true),
];

const shape = [20, image.inChannels, image.inputSize, image.inputSize];

/** Random images for all of them. */
export const data: TrainingSet = imagesInMemory(
  float32(
    uniforms({ seed: 1, purpose: "images", step: 0, index: 0 }, sizeOf(shape)).map((u) => 2 * u - 1),
    shape,
  ),
  int32(Int32Array.from({ length: 20 }, (_, i) => i % image.numClasses)),
  image.numClasses,
);
