/** Parameters, arithmetic, speed and memory of a model, alone or in turn with another. */
import { type ModelCost, modelCost } from "../evaluation/speed/model-cost.ts";
import {
  iterationDefinition,
  type Runner,
  type SamplerSpeed,
  samplerSpeeds,
} from "../evaluation/speed/sampler-speed.ts";
import { type Machine, machineNow, median, medianRatio } from "../evaluation/speed/timing.ts";
import { runOnly } from "../nn/run-block.ts";
import { parseKept } from "../pruning/keep-blocks.ts";
import type { ImageSampler } from "../sampling/image-sampler.ts";
import type { SamplingPrecision } from "../sampling/sampling-settings.ts";
import { stacksText } from "../weights/fitting-models.ts";
import type { OpenedModel } from "../weights/model-file.ts";
import { fileModelSettings, openNamedModel, openOneOfTwo } from "./model-settings.ts";
import { chosenSampling, samplingSettings, secondPrecisionSetting } from "./sampling-settings.ts";
import { required, SettingError, type SettingTable, type Values } from "./settings.ts";
import { chosenProcess, engineSettings, samplingProcessSettings, seedSetting } from "./shared-settings.ts";
import { startTask, type TaskContext, type TaskSettings } from "./task.ts";
import { versions } from "./version.ts";

export const benchModelSettings = {
  file: { kind: "weights", help: "model" },
  against: { kind: "weights", help: "another model, timed in turn with the first" },
  batches: { kind: "text", fallback: "2,8,32", help: "batch sizes to measure" },
  rounds: { kind: "integer", fallback: 5, min: 1, help: "timed rounds through all models and batch sizes" },
  iterations: { kind: "integer", min: 1, help: "iterations per timed batch [whole images]" },
  blocks: { kind: "text", help: "blocks of the first model to run, as 0,2,5 [all]" },
  ...samplingSettings,
  seed: seedSetting,
  ...engineSettings,
  ...fileModelSettings,
  secondWeights: { ...fileModelSettings.weights, help: "weights of the other model [as `weights`]" },
  secondPrecision: secondPrecisionSetting,
  ...samplingProcessSettings,
} as const satisfies SettingTable;

type BenchValues = Values<typeof benchModelSettings>;

export interface BenchedModel extends ModelCost {
  readonly path: string;
  readonly sha256: string;
  readonly weights: "raw" | "ema";
  readonly family: string;
  readonly blocks: string;
  readonly settings: ImageSampler["settings"];
  readonly derived: ImageSampler["derived"];
  /** One for each batch size. */
  readonly speeds: readonly SamplerSpeed[];
}

export interface BenchResult {
  readonly models: readonly BenchedModel[];
  /** How many times as fast the first model is, for each batch size: medians over the rounds. */
  readonly ratios?: readonly { readonly batch: number; readonly ratio: number }[];
  readonly rounds: number;
  readonly seed: number;
  readonly machine: Machine;
  readonly iterationDefinition: string;
  readonly versions: Readonly<Record<string, string>>;
}

/** Measures a model, or two in turn. @throws InputError for settings that do not fit the models; the signal's reason. */
export async function benchModel(settings: TaskSettings<typeof benchModelSettings>): Promise<BenchResult> {
  const { values, context } = await startTask(benchModelSettings, settings);
  const { rounds, seed, threads, iterations } = values;
  const batches = batchesOf(values.batches);
  const entrants = await openEntrants(values, context);
  const report = await samplerSpeeds({
    engine: context.engine(),
    runners: entrants.map(({ runner }) => runner),
    batches,
    rounds,
    seed,
    signal: context.signal,
    onStage: context.note,
    ...(iterations !== undefined && { iterations }),
  });
  const [first, second] = report.speeds;
  const ratios = second && first!.map((speed, b) => ({ batch: speed.batch, ratio: ratioOf(speed, second[b]!) }));
  return {
    models: entrants.map(({ file: { path, sha256, weights, model }, blocks, cost }, i) => ({
      path,
      sha256,
      weights,
      family: model.config.family,
      blocks,
      ...cost,
      settings: report.settings[i]!,
      derived: report.derived[i]!,
      speeds: report.speeds[i]!,
    })),
    ...(ratios && { ratios }),
    rounds,
    seed,
    machine: machineNow(threads, values.device),
    iterationDefinition,
    versions: versions(),
  };
}

/** @throws SettingError for anything but sizes of at least 2. */
function batchesOf(text: string): number[] {
  const batches = text.split(",").map((part) => (/^\s*\d+\s*$/.test(part) ? Number(part) : Number.NaN));
  const wrong = batches.findIndex((batch) => !(batch >= 2));
  if (wrong < 0) return batches;
  throw new SettingError(`\`batches\` expects numbers of at least 2, as 2,8,32, got ${text.split(",")[wrong] || '""'}`);
}

interface Entrant {
  readonly file: OpenedModel;
  readonly runner: Runner;
  readonly cost: ModelCost;
  readonly blocks: string;
}

/** @throws InputError for settings that do not apply to one of the models. */
async function openEntrants(values: BenchValues, { note }: TaskContext): Promise<Entrant[]> {
  const { against, weights, secondWeights = weights, precision, secondPrecision = precision, blocks } = values;
  const path = required("file", values.file);
  const entrant = (file: OpenedModel, own: SamplingPrecision | undefined, kept?: readonly number[]): Entrant => {
    const { model, tensors } = file;
    const process = chosenProcess(values, model, file);
    const sampling = chosenSampling({ ...values, precision: own }, process, model.config, note);
    const some = kept && { runBlock: runOnly(kept) };
    return {
      file,
      runner: { model, weights: tensors, process, sampling, ...some },
      cost: modelCost(model, some?.runBlock),
      blocks: kept ? `${kept.length} of ${model.config.depth}` : stacksText(model),
    };
  };
  const file = await (against === undefined ? openNamedModel : openOneOfTwo)(path, values, note);
  const first = entrant(file, precision, blocks === undefined ? undefined : parseKept(blocks, file.model.config.depth));
  if (against === undefined) return [first];
  return [first, entrant(await openOneOfTwo(against, { ...values, weights: secondWeights }, note), secondPrecision)];
}

/** Seconds of an image of the second ÷ seconds of an image of the first, over the rounds. */
function ratioOf(first: SamplerSpeed, second: SamplerSpeed): number {
  const seconds = ({ roundSeconds, imagesPerSecond, batch }: SamplerSpeed) => {
    const scale = batch / imagesPerSecond / median(roundSeconds);
    return roundSeconds.map((value) => value * scale);
  };
  return medianRatio(seconds(second), seconds(first));
}
