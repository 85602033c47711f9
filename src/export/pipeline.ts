/** `pipeline.json`: everything besides the ONNX files that a program needs to draw images with them. */
import { imagenetClassName } from "../data/class-names.ts";
import { odeInterval } from "../diffusion/flow/path.ts";
import { type Process, scheduleOf } from "../diffusion/process.ts";
import { type AutoencoderConfig, latentStride } from "../models/autoencoder/config.ts";
import { hasNullClass, type ModelConfig, tokenCount } from "../models/family.ts";
import { type MarConfig, tokenSize } from "../models/mar/config.ts";
import type { SamplingPrecision } from "../sampling/sampling-settings.ts";
import type { ModelFile } from "../weights/model-file.ts";
import type { PartSettings } from "./denoiser-part.ts";
import type { ExportDtype } from "./stored-weights.ts";
import type { WrittenPart } from "./write-part.ts";

/** Readers refuse other versions; a field that is added changes nothing. */
export const PIPELINE_VERSION = 1;

/** A file of the folder. */
export interface PipelineFile {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** What an export knows when its files are written. */
export interface PipelineFacts {
  readonly file: Pick<ModelFile, "model" | "weights" | "prunings" | "images" | "sha256">;
  readonly process: Process;
  readonly settings: PartSettings & {
    readonly dtype: ExportDtype;
    readonly precision: SamplingPrecision;
    readonly provider: string;
  };
  readonly sampling: Readonly<Record<string, unknown>>;
  /** The model's functions by their names. */
  readonly parts: Readonly<Record<string, WrittenPart>>;
  readonly vae: { readonly config: AutoencoderConfig; readonly written: WrittenPart } | undefined;
  readonly files: readonly PipelineFile[];
  /** Largest difference to our own session, by file. */
  readonly checked: Readonly<Record<string, number>>;
  readonly versions: Readonly<Record<string, string>>;
}

const LOW = "int8 in the linear layers of blocks, whose weights are stored so; else float32";

/** The value of `pipeline.json`. */
export function describePipeline(facts: PipelineFacts): Record<string, unknown> {
  const { file, process, settings, sampling, parts, vae, files, checked, versions } = facts;
  const { config } = file.model;
  const { dtype, precision, provider, batch } = settings;
  return {
    format: "tinyfusion-pipeline",
    version: PIPELINE_VERSION,
    family: config.family,
    image: { channels: config.inChannels, size: config.inputSize },
    ...(config.family === "mar" && { tokens: tokenFacts(config as unknown as MarConfig) }),
    classes: classFacts(config),
    process: processFacts(process),
    prediction: process.kind === "flow" ? "velocity" : "noise",
    learnedVariance: Object.values(parts).some(({ outputs }) => outputs.some(({ name }) => name === "variance")),
    guidance: hasNullClass(config) ? guidanceFacts(process, settings) : null,
    sampling,
    parts,
    vae: vae ? vaeFacts(vae.config, vae.written) : null,
    weights: {
      dtype,
      computedIn: precision === "int8" ? LOW : "float32",
      batch: batch ?? "any",
      provider,
      kind: file.weights,
    },
    origin: { sha256: file.sha256, config, imagesSeen: file.images, prunings: file.prunings },
    files,
    checked: { largestRelativeDifference: checked },
    versions,
  };
}

/** A model of 1,000 classes is one of ImageNet's, whose names are known. */
function classFacts({ numClasses, nullClass }: ModelConfig): Record<string, unknown> {
  const isImagenet = numClasses === 1000;
  const names = isImagenet && { names: Array.from({ length: numClasses }, (_, label) => imagenetClassName(label)) };
  return { count: numClasses, none: hasNullClass({ nullClass }) ? numClasses : null, ...names };
}

const mix = "none + cfgScale * (class - none)";

function guidanceFacts(process: Process, { guidance, cfgChannels }: PartSettings): Record<string, unknown> {
  const channels = process.kind === "tokens" ? {} : { channels: cfgChannels };
  if (guidance) return { inside: true, input: "cfgScale", recipe: mix, ...channels };
  const runs = process.kind === "tokens" ? "condition and token-denoiser" : "denoiser";
  return {
    inside: false,
    recipe: `run ${runs} with the class and with classes.none; ${mix} of the prediction`,
    ...channels,
  };
}

/** Tables in full precision: whoever reads them needs no formula. */
function processFacts(process: Process): Record<string, unknown> {
  if (process.kind === "flow") return { ...process, interval: odeInterval(process), time: "0 is noise, 1 is data" };
  const { betas, alphasCumprod } = scheduleOf(process);
  return {
    ...process,
    time: `timesteps 0 to ${process.steps - 1}`,
    betas: [...betas],
    alphasCumprod: [...alphasCumprod],
  };
}

function tokenFacts(config: MarConfig): Record<string, unknown> {
  return {
    count: tokenCount(config),
    size: tokenSize(config),
    patchSize: config.patchSize,
    buffer: config.bufferSize,
    width: config.decoderSize,
    order: "tokens row by row; inside a token channel, then row, then column",
  };
}

function vaeFacts(config: AutoencoderConfig, written: WrittenPart): Record<string, unknown> {
  const { scalingFactor, shiftFactor, latentChannels, outChannels } = config;
  return {
    ...written,
    scalingFactor,
    shiftFactor,
    scaleIsInside: true,
    latentChannels,
    channels: outChannels,
    pixelsPerLatent: latentStride(config),
  };
}
